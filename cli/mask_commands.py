"""`callgate mask`: a document in, what may be shown of it out. Nothing leaves this machine, and nothing is kept."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from typer.core import TyperGroup

from callgate.errors import ConfigurationError
from callgate.jsontext import JsonTextError, dump, parse
from callgate.settings import Settings, load
from cli import output
from cli.options import DEFAULT_CONFIG, ConfigOption
from contracts.model import JsonValue
from services.masking.composition import Tools, tools_of
from services.masking.domain import Masked, Reading, mask
from services.masking.hints import NO_HINTS, Hints, hints_of

_LONGEST_LINE = 64 * 1024 * 1024


class _DocumentByDefault(TyperGroup):
    """`callgate mask x.json` is `callgate mask document x.json`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = next((arg for arg in args if not arg.startswith("-")), None)
        if "--help" not in args and named not in self.commands:
            args = ["document", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_DocumentByDefault,
    help="Mask what is sensitive in a JSON document or a text, as the gateway does.\n\n"
    "`callgate mask order.json` prints the document masked; `… | callgate mask` reads standard input. "
    "`--jsonl` takes one JSON value a line and prints one a line: "
    '`{"masked": …, "findings": [{"path", "entity", "start", "end", "score"}]}`, with the JSON pointer of the leaf and '
    "the half-open span in code points of its text; a span that could be several things has a finding for each, "
    "the surest first. `--explain` says why. `callgate mask document --help` lists all options, "
    "`callgate mask entities` what is found and by what evidence; `callgate mask bench` measures this machine.",
)


@app.command(hidden=True)
def document(
    source: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Standard input otherwise.")] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON value a line, one answer a line.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Read plain text, even if it looks like JSON.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say which evidence made each finding.")] = False,
    function: Annotated[
        str | None, typer.Option(help="Mask as arguments of this function, by its schema's annotations.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Mask a JSON document, or a text where the input is no JSON."""
    if jsonl and text:
        raise typer.BadParameter("--jsonl takes JSON values: quote a text as a JSON string, or leave --jsonl out")
    settings = _settings(config, needed=function is not None)
    tools, hints = tools_of(settings.masking if settings else None), _hints(settings, function)
    try:
        stream = sys.stdin.buffer if source is None or str(source) == "-" else source.open("rb")
    except OSError as error:
        raise ConfigurationError("no_document", f"{source} cannot be read: {error.strerror}") from None
    with stream:
        code = _lines(stream, tools, hints, explain) if jsonl else _whole(stream.read(), tools, hints, text, explain)
    if code:
        raise typer.Exit(code)


def _settings(config: Path, *, needed: bool) -> Settings | None:
    """The configuration's own detectors, lists and strategies, where there is one; the built-in ones otherwise."""
    return load(config) if needed or config != DEFAULT_CONFIG or config.exists() else None


def _hints(settings: Settings | None, function: str | None) -> Hints:
    if function is None or settings is None:
        return NO_HINTS
    for known in settings.catalog:
        if known.name == function:
            return hints_of(known.spec.input)
    names = ", ".join(sorted(known.name for known in settings.catalog)) or "none"
    raise ConfigurationError("unknown_function", f"there is no function {function}; configured are: {names}")


def _masked(value: JsonValue, tools: Tools, hints: Hints) -> Masked:
    return mask(value, hints, machine=tools.machine, disguise=tools.disguise(None), explain=True)


def _whole(data: bytes, tools: Tools, hints: Hints, text: bool, explain: bool) -> int:
    """A document by itself: what is masked goes to standard output, everything else to standard error."""
    try:
        value: JsonValue = data.decode() if text else parse(data, numbers="lossless")
        is_text = text
    except UnicodeDecodeError:
        output.error("the input is not UTF-8, so it cannot be inspected; nothing was printed")
        return 1
    except JsonTextError as error:
        if error.code != "syntax" or data.lstrip()[:1] in (b"{", b"["):
            output.error(f"the input is not JSON as Callgate accepts it: {_where(error)}; --text reads it as text")
            return 1
        value, is_text = data.decode(), True
    masked = _masked(value, tools, hints)
    shown = masked.view if is_text and isinstance(masked.view, str) else dump(masked.view).decode() + "\n"
    sys.stdout.buffer.write(str(shown).encode())
    sys.stdout.flush()
    if explain:
        for reading in masked.readings:
            place = output.printable(reading.path) or "(the text)"
            typer.echo(
                f"{place} {reading.start}-{reading.end} {reading.entity} {reading.score:.2f}: {reading.evidence}",
                err=True,
            )
    if masked.uninspectable:
        typer.echo(f"withheld, since it cannot be inspected: {', '.join(masked.uninspectable)}", err=True)
    return 0


def _lines(stream: BinaryIO, tools: Tools, hints: Hints, explain: bool) -> int:
    """One answer a line, in order; a line that is no JSON gets an `error` and does not stop the rest."""
    code = 0
    for number, line in enumerate(_limited(stream), start=1):
        if not line.strip():
            continue
        answer: dict[str, Any]
        try:
            masked = _masked(parse(line, numbers="lossless"), tools, hints)
        except JsonTextError as error:
            output.error(f"line {number} is not JSON as Callgate accepts it: {_where(error)}")
            answer, code = {"masked": None, "findings": [], "error": error.code}, 1
        else:
            answer = {"masked": masked.view, "findings": [_finding(one, explain) for one in masked.readings]}
            if masked.uninspectable:
                answer["uninspectable"] = list(masked.uninspectable)
        sys.stdout.buffer.write(dump(answer) + b"\n")
    sys.stdout.flush()
    return code


def _limited(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline(_LONGEST_LINE):
        yield line


def _finding(reading: Reading, explain: bool) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {
        "path": reading.path,
        "entity": reading.entity,
        "start": reading.start,
        "end": reading.end,
        "score": reading.score,
    }
    return {**found, "evidence": reading.evidence} if explain else found


def _where(error: JsonTextError) -> str:
    place = (
        f" at character {error.offset}" if error.offset is not None else f" at {error.pointer}" if error.pointer else ""
    )
    return f"{error.code.replace('_', ' ')}{place}"


@app.command()
def entities() -> None:
    """List every entity that is found, with the evidence that each needs."""
    from services.masking.catalogue import catalogue  # noqa: PLC0415

    rows = catalogue()
    width = max(len(row.entity) for row in rows)
    for row in rows:
        output.say(f"{row.entity:<{width}}  {row.found:<28}  {row.evidence}")


@app.command()
def bench(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Measure masking on this machine: documents of 1 KB and 100 KB, with something to find and without."""
    from cli.mask_bench import measured  # noqa: PLC0415

    settings = _settings(config, needed=False)
    for line in measured(tools_of(settings.masking if settings else None)):
        output.say(line)
