"""docs/operations.md names every setting: in its table, or on the page to which the setting's line leads."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from callgate.settings import Settings

ROOT = Path(__file__).parents[3]


def models(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models within a type, each with what leads to it: `` or `.<name>` below a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
    below = ".<name>" if getattr(annotation, "__origin__", None) is dict else ""
    for inner in get_args(annotation):
        yield from ((below + path, model) for path, model in models(inner))


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        path = f"{prefix}.{name}" if prefix else name
        within = list(models(field.annotation))
        if not within:
            yield path
        for below, inner in within:
            yield from settings(inner, path + below)


def words_of_code(page: str) -> set[str]:
    code = re.findall(r"```.*?```|`[^`]+`", page, re.DOTALL)
    return {word for text in code for word in re.findall(r"[a-z_0-9]+", text)}


class Table:
    """What the page says: the settings of first cells, and what their lines hold or lead to."""

    def __init__(self, page: str) -> None:
        self.paths: set[str] = set()
        self.words: dict[str, set[str]] = defaultdict(set)
        section = page.split("\n## Settings\n")[1].partition("\n## ")[0]
        for cell, rest in re.findall(r"^\| (`[^|]+) \|(.*)\|$", section, re.MULTILINE):
            first, *others = (name.replace("[]", "") for name in re.findall(r"`([^` :]+)`", cell))
            parent = first.rpartition(".")[0]
            for path in (first, *(f"{parent}.{name}".strip(".") for name in others)):
                self.paths.add(path)
                self.words[path] |= set(re.findall(r"`([^`]+)`", rest))
                for name in re.findall(r"docs/([a-z-]+\.md)", rest):
                    self.words[path] |= words_of_code((ROOT / "docs" / name).read_text())

    def has(self, path: str) -> bool:
        parent, _, name = path.rpartition(".")
        while parent:
            if name in self.words[parent]:
                return True
            parent = parent.rpartition(".")[0]
        return path in self.paths


def test_every_setting_is_in_the_table() -> None:
    table = Table((ROOT / "docs/operations.md").read_text())
    missing = sorted(path for path in set(settings(Settings)) if not table.has(path))
    assert not missing, f"write in the table of docs/operations.md what these do: {missing}"


def test_the_table_names_no_other_setting() -> None:
    known = set(settings(Settings))
    sections = {path.rsplit(".", depth)[0] for path in known for depth in range(1, path.count(".") + 1)}
    assert Table((ROOT / "docs/operations.md").read_text()).paths <= known | sections
