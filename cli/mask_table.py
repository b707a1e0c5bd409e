"""`python -m cli.mask_table [--check]`: writes the table of docs/masking.md, or says that it differs."""

import argparse
import sys
from pathlib import Path
from typing import Final

from cli import output
from services.masking.catalogue import catalogue

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "masking.md"
_BEGIN: Final = "<!-- entities: written by `python -m cli.mask_table` -->\n"
_END: Final = "<!-- /entities -->\n"


def table() -> str:
    """Markdown: a row for each way in which an entity is found, the surest first."""
    rows = ["| entity | is found | evidence | published by |", "|---|---|---|---|"]
    named = ""
    for row in catalogue():
        entity = "" if row.entity == named else f"`{row.entity}`"
        named = row.entity
        rows.append(f"| {entity} | {row.found} | {_cell(row.evidence)} | {_cell(row.source)} |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def written(document: str) -> str:
    """The document with the table as it is now. Raises ValueError where it has no place for one."""
    before, begin, rest = document.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError("the document has no place for the table")
    return f"{before}{begin}{table()}{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cli.mask_table", description="The table of docs/masking.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where it differs")
    old = DOCUMENT.read_text(encoding="utf-8")
    new = written(old)
    if not parser.parse_args().check:
        DOCUMENT.write_text(new, encoding="utf-8")
    elif new != old:
        output.error("docs/masking.md differs from the detectors; run `python -m cli.mask_table`")
        sys.exit(1)


if __name__ == "__main__":
    main()
