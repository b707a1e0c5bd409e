"""Arguments as people write them at a terminal, read as the function's schema types them."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from callgate.errors import ConfigurationError
from cli.output import printable


@dataclass(frozen=True, slots=True)
class Given:
    """Arguments as they stand on the command line: NAME=VALUE, NAME:=JSON, and a file of JSON under them."""

    pairs: tuple[str, ...]
    file: Path | None


def arguments_of(given: Given, schemas: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a command line. ConfigurationError says which of them cannot be read."""
    arguments = _read(given.file) if given.file is not None else {}
    for pair in given.pairs:
        name, value = read_pair(pair, schemas.get)
        arguments[name] = value
    return arguments


def read_pair(pair: str, schema_of: Callable[[str], Any]) -> tuple[str, Any]:
    """Name and value of NAME=VALUE, as the schema of that name types it, or of NAME:=JSON. ConfigurationError."""
    name, sign, text = pair.partition("=")
    if not sign or not name:
        raise ConfigurationError("bad_argument", f"`{printable(pair)}` is no NAME=VALUE, nor NAME:=JSON")
    if name.endswith(":"):
        return name[:-1], _json(text, f"the value of {printable(name[:-1])}")
    return name, typed(text, schema_of(name))


def schemas_in(functions: Iterable[Mapping[str, Any]], function: str) -> Mapping[str, Any]:
    """The schema of each argument, of a function in the list of them; none where it is not there."""
    return next((properties_of(one) for one in functions if one["name"] == function), {})


def properties_of(function: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = function["input"].get("properties")
    return {name: s if isinstance(s, dict) else {} for name, s in properties.items()} if properties else {}


def typed(text: str, schema: Any) -> Any:
    """Text where the schema takes text, so `id=007` stays as it is; else JSON, where it is some."""
    kinds = types_of(schema)
    if kinds and kinds <= {"string", "null"}:
        return text
    try:
        return _loaded(text)
    except ValueError:
        return text


def types_of(schema: Any) -> set[str]:
    kinds = schema.get("type", ()) if isinstance(schema, dict) else ()
    return {kinds} if isinstance(kinds, str) else set(kinds)


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
        return _loaded(text)
    except ValueError:
        raise ConfigurationError("bad_argument", f"{what} is not JSON") from None


def _loaded(text: str) -> Any:
    """The value of a JSON text. ValueError for what is none; ConfigurationError for a number that would be rounded."""
    return json.loads(text, parse_float=_exact, parse_constant=_no_json)


def _exact(text: str) -> float:
    number = float(text)
    if Decimal(repr(number)) != Decimal(text):
        raise ConfigurationError("bad_argument", f"{printable(text)} has more digits than can be sent exactly")
    return number


def _no_json(_: str) -> Any:
    raise ValueError("NaN and Infinity are not JSON")
