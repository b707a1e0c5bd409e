"""What the agents' commands do, with `callgate.client` and nothing beside it."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from callgate.client import Client, Event, Outcome
from callgate.errors import ConfigurationError
from cli import output
from cli.output import printable, styled

COMPLETED, ENDED, GOES_ON = 0, 1, 3
"""Exit codes."""

_COLOURS: Final = {"completed": "green", "denied": "red", "rejected": "red", "failed": "red", "unknown": "red"}
_SHOWN: Final = 4000
"""Characters of a result on the screen; --json gives all of them."""


@dataclass(frozen=True, slots=True)
class Given:
    """Arguments as they stand on the command line: NAME=VALUE, NAME:=JSON, and a file of JSON under them."""

    pairs: tuple[str, ...]
    file: Path | None


def client(url: str, token: str, session: str | None = None) -> Client:
    return Client(url, token, session=session)


def list_functions(callgate: Client, as_json: bool) -> None:
    with callgate:
        functions = callgate.functions()
    if as_json:
        output.say(json.dumps({"functions": functions}))
        return
    for function in functions:
        tags = f"  [{', '.join(map(printable, function['tags']))}]" if function["tags"] else ""
        output.say(f"{styled(printable(function['name']), 'cyan')}{tags}  {printable(function['description'])}")
        for name, schema in _properties(function).items():
            needed = "" if name in function["input"].get("required", ()) else ", optional"
            about = f"  {printable(str(schema['description']))}" if schema.get("description") else ""
            output.say(f"    {printable(name)}: {_type_of(schema)}{needed}{about}")


def call(callgate: Client, function: str, given: Given, wait: float | None, key: str | None, *, as_json: bool) -> int:
    with callgate:
        arguments = arguments_of(given, _schemas(callgate, function) if given.pairs else {})
        outcome = callgate.call(function, arguments, timeout=wait, idempotency_key=key)
    return _show(outcome, as_json)


def list_calls(callgate: Client, as_json: bool) -> None:
    if callgate.session is None:
        raise ConfigurationError("no_session", "which session? Give --session, or set CALLGATE_SESSION")
    with callgate:
        outcomes = list(callgate.calls())
    if as_json:
        output.say(json.dumps({"calls": [dict(outcome.document) for outcome in outcomes]}))
        return
    for outcome in outcomes:
        status = styled(outcome.status.replace("_", " "), _COLOURS.get(outcome.status, "yellow"))
        output.say(f"{outcome.document['at'][:19]}  {printable(outcome.function)}  {status}  {printable(outcome.id)}")
    if not outcomes:
        output.say("no call in this session yet")


def watch(callgate: Client, call_id: str, *, as_json: bool) -> int:
    with callgate:
        for event in callgate.events(call_id):
            output.say(json.dumps(dict(event.document)) if as_json else _line(event))
        return _show(callgate.wait(call_id, timeout=0), as_json)


def arguments_of(given: Given, schemas: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a command line. ConfigurationError says which of them cannot be read."""
    arguments = _read(given.file) if given.file is not None else {}
    for pair in given.pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise ConfigurationError("bad_argument", f"`{printable(pair)}` is no NAME=VALUE, nor NAME:=JSON")
        if name.endswith(":"):
            arguments[name[:-1]] = _json(text, f"the value of {printable(name[:-1])}")
        else:
            arguments[name] = _typed(text, schemas.get(name))
    return arguments


def _schemas(callgate: Client, function: str) -> Mapping[str, Any]:
    return next((_properties(one) for one in callgate.functions() if one["name"] == function), {})


def _properties(function: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = function["input"].get("properties")
    return {name: s if isinstance(s, dict) else {} for name, s in properties.items()} if properties else {}


def _typed(text: str, schema: Any) -> Any:
    """Text where the schema takes text, so `id=007` stays as it is; else JSON, where it is some."""
    kinds = _types(schema)
    if kinds and kinds <= {"string", "null"}:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _types(schema: Any) -> set[str]:
    kinds = schema.get("type", ()) if isinstance(schema, dict) else ()
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _type_of(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(printable(json.dumps(value)) for value in schema["enum"])
    return " or ".join(sorted(map(printable, _types(schema)))) or "any"


def _read(file: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("no_arguments", f"{file} cannot be read") from None
    document = _json(text, "standard input" if str(file) == "-" else str(file))
    if not isinstance(document, dict):
        raise ConfigurationError("bad_argument", "the arguments must be a JSON object")
    return document


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigurationError("bad_argument", f"{what} is not JSON") from None


def _show(outcome: Outcome, as_json: bool) -> int:
    if as_json:
        output.say(json.dumps(dict(outcome.document)))
    else:
        output.say("\n".join(_lines(outcome)))
    if not outcome.answered:
        return GOES_ON
    return COMPLETED if outcome.ok else ENDED


def _lines(outcome: Outcome) -> list[str]:
    """An outcome for the screen. Nothing that a function said may steer the terminal."""
    word = styled(outcome.status.replace("_", " "), _COLOURS.get(outcome.status, "yellow"), bold=True)
    lines = [f"{word}  {printable(outcome.function)}  {printable(outcome.id)}"]
    if outcome.detail:
        lines.append(f"  {printable(outcome.detail)}")
    if outcome.document.get("withheld"):
        lines.append(f"  the result is withheld: {printable(str(outcome.document['withheld']))}")
    elif outcome.ok:
        text = json.dumps(outcome.result, indent=2, ensure_ascii=False)
        lines += ["  " + printable(line) for line in text[:_SHOWN].splitlines()]
        if len(text) > _SHOWN:
            lines.append(f"  … ({len(text)} characters; --json shows all)")
    if not outcome.answered:
        lines.append(f"  it goes on: `callgate watch {printable(outcome.id)}`")
    return lines


def _line(event: Event) -> str:
    about = {name: value for name, value in event.document.items() if name not in _COMMON and value not in ([], None)}
    more = "  " + printable(json.dumps(about, ensure_ascii=False)) if about else ""
    return f"{str(event.document.get('at', ''))[11:19]}  {printable(event.name)}{more}"


_COMMON: Final = frozenset({"id", "event", "sequence", "at"})
