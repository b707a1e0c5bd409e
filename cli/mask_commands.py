"""`callgate mask`: a document in, what may be shown of it out. Nothing leaves this machine, and nothing is kept."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from callgate.errors import ConfigurationError
from callgate.jsontext import JsonTextError, dump, parse
from callgate.settings import Settings, load
from cli import mask_lines, output
from cli.options import DEFAULT_CONFIG, ConfigOption
from contracts.model import JsonValue
from services.masking.composition import tools_of
from services.masking.domain import Masked, mask
from services.masking.hints import NO_HINTS, Hints, hints_of


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
    "the half-open span in code points of its text; a blank line stays one; a span that could be several things has a "
    "finding for each, the surest first. `--explain` says why, `--stream` masks a log as it is written. "
    "`callgate mask document --help` lists all options, "
    "`callgate mask entities` what is found and by what evidence; `callgate mask bench` measures this machine.",
)


@app.command(hidden=True)
def document(
    source: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Standard input otherwise.")] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON value a line, one answer a line.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Read plain text, even if it looks like JSON.")] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Plain text as it comes (`tail -f app.log | …`): prints what is safe at once."),
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say which evidence made each finding.")] = False,
    function: Annotated[
        str | None, typer.Option(help="Mask as arguments of this function, by its schema's annotations.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Mask a JSON document, or a text where the input is no JSON.

    Detectors, lists and strategies are those of the configuration, where there is one. There is no session here, so
    what would become a token or a hash is redacted.
    """
    if jsonl and text:
        raise typer.BadParameter("--jsonl takes JSON values: quote a text as a JSON string, or leave --jsonl out")
    if stream and (jsonl or explain or function is not None):
        raise typer.BadParameter("--stream masks plain text, without --jsonl, --explain and --function")
    settings = _settings(config, needed=function is not None)
    tools = tools_of(settings.masking, settings.catalog) if settings else tools_of(None)
    hints = _hints(settings, function)

    def masking(value: JsonValue) -> Masked:
        return mask(value, hints, machine=tools.machine, disguise=tools.disguise(None), explain=True)

    try:
        data = sys.stdin.buffer if source is None or str(source) == "-" else source.open("rb")
    except OSError as error:
        raise ConfigurationError("no_document", f"{source} cannot be read: {error.strerror}") from None
    with data:
        if jsonl:
            code = mask_lines.lines(data, masking, explain=explain)
        elif stream:
            code = mask_lines.text(data, tools)
        else:
            code = _whole(data.read(), masking, text, explain)
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
            try:
                return hints_of(known.spec.input)
            except ValueError as error:
                raise ConfigurationError("bad_annotation", f"the input of {function}: {error}") from None
    names = ", ".join(sorted(known.name for known in settings.catalog)) or "none"
    raise ConfigurationError("unknown_function", f"there is no function {function}; configured are: {names}")


def _whole(data: bytes, masking: mask_lines.Masking, text: bool, explain: bool) -> int:
    """A document by itself: what is masked goes to standard output, everything else to standard error."""
    value: JsonValue
    try:
        value, is_text = (data.decode(), True) if text else _read(data)
    except (UnicodeDecodeError, JsonTextError) as error:
        if isinstance(error, UnicodeDecodeError) or error.code == "not_utf8":
            output.error("the input is not UTF-8, so it cannot be inspected; nothing was printed")
        else:
            output.error(
                f"the input is not JSON as Callgate accepts it: {mask_lines.why(error)}; --text reads it as text"
            )
        return 1
    masked = masking(value)
    if is_text and isinstance(masked.view, str):
        sys.stdout.buffer.write(masked.view.encode())
    else:
        sys.stdout.buffer.write(dump(masked.view) + b"\n")
    sys.stdout.flush()
    for reading in masked.readings if explain else ():
        place = output.printable(reading.path) or "(the text)"
        span = f"{reading.start}-{reading.end}"
        typer.echo(f"{place} {span} {reading.entity} {reading.score:.2f}: {reading.evidence}", err=True)
    mask_lines.tell_withheld(masked.uninspectable)
    return 0


def _read(data: bytes) -> tuple[JsonValue, bool]:
    """A JSON value, or a text where that is no JSON and does not begin like an object or array; and which it is."""
    try:
        return parse(data, numbers="lossless"), False
    except JsonTextError as error:
        if error.code != "syntax" or data.lstrip()[:1] in (b"{", b"["):
            raise
    return data.decode(), True


@app.command()
def entities(
    markdown: Annotated[bool, typer.Option("--markdown", help="As the table of docs/masking.md.")] = False,
) -> None:
    """List every entity that is found, with the evidence that each needs."""
    from cli.mask_table import table  # noqa: PLC0415
    from services.masking.catalogue import catalogue  # noqa: PLC0415

    if markdown:
        output.say(table().rstrip("\n"))
        return
    rows = catalogue()
    width = max(len(row.entity) for row in rows)
    for row in rows:
        output.say(f"{row.entity:<{width}}  {row.found:<32}  {row.evidence}")


@app.command()
def bench(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Measure masking on this machine: documents of 1 KB and 100 KB, with something to find and without."""
    from cli.mask_bench import measured  # noqa: PLC0415

    settings = _settings(config, needed=False)
    for line in measured(tools_of(settings.masking, settings.catalog) if settings else tools_of(None)):
        output.say(line)
