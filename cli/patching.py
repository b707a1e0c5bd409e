"""`amount=40 --remove note`, or a file: how people write a JSON Patch at a terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callgate.errors import ConfigurationError
from callgate.json_patch import BadPatch, apply_patch, checked_patch
from callgate.jsontext import JsonTextError, parse, pointer_token
from cli.arguments import read_pair
from contracts.model import JsonValue

_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be changed: `name=value` or `/pointer=value` each, then names or pointers; or a whole JSON Patch."""

    sets: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    patch: JsonValue = None


def wish_of(sets: list[str] | None, removes: list[str] | None, file: Path | None) -> Wish:
    """ConfigurationError where nothing is wished, or two things at once."""
    if (file is not None) == bool(sets or removes):
        raise ConfigurationError("bad_amendment", "say what to change: NAME=VALUE and --remove, or --patch with a file")
    return Wish(tuple(sets or ()), tuple(removes or ()), document_in(file, "--patch") if file is not None else None)


def patched(arguments: JsonValue, wish: Wish, schemas: Mapping[str, Any]) -> tuple[list[Any], JsonValue]:
    """The patch, and the arguments after it. ConfigurationError where it does not fit them."""
    operations: list[Any] = []
    for pair in wish.sets:
        name, value = read_pair(pair, lambda name: schemas.get(name.removeprefix("/")) or _kind(arguments, name))
        operations.append({"op": "set", "path": _pointer(name), "value": value})
    operations += [{"op": "remove", "path": _pointer(name)} for name in wish.removes]
    if isinstance(wish.patch, list):
        operations = wish.patch
    elif wish.patch is not None:
        raise ConfigurationError("bad_amendment", "a JSON Patch is a list of operations")
    done: list[Any] = []
    for operation in operations:
        one, arguments = _applied(arguments, operation)
        done.append(one)
    return done, arguments


def document_in(file: Path, option: str) -> JsonValue:
    """The JSON document of a file. ConfigurationError."""
    try:
        return parse(file.read_bytes(), max_bytes=_LIMIT)
    except OSError:
        raise ConfigurationError("unreadable", f"{file} cannot be read; name another with {option}") from None
    except JsonTextError as error:
        raise ConfigurationError("not_json", f"{file} is no JSON that Callgate takes ({error.code})") from None


def _applied(arguments: JsonValue, operation: Any) -> tuple[Any, JsonValue]:
    """`set` is `replace` where something stands, and `add` elsewhere."""
    kinds = ("replace", "add") if isinstance(operation, dict) and operation.get("op") == "set" else (None,)
    for kind in kinds:
        one = operation if kind is None else operation | {"op": kind}
        try:
            return one, apply_patch(arguments, checked_patch([one]))
        except BadPatch as bad:
            detail = bad.detail
    raise ConfigurationError("bad_amendment", f"that cannot be changed: {detail}; the arguments stand above")


def _pointer(name: str) -> str:
    return name if name.startswith("/") else pointer_token(name)


def _kind(arguments: JsonValue, name: str) -> Mapping[str, str]:
    """What no schema says at the top, what stands there does: a text stays one."""
    at = arguments
    for token in _pointer(name).split("/")[1:]:
        step = token.replace("~1", "/").replace("~0", "~")
        if isinstance(at, dict):
            at = at.get(step)
        else:
            at = at[int(step)] if isinstance(at, list) and step.isdecimal() and int(step) < len(at) else None
    return {"type": "string"} if isinstance(at, str) else {}
