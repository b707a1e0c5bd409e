"""JSON text to Python values and back, strictly: what two parsers could read differently is refused.

Refused are duplicate keys, NaN and Infinity, lone surrogates, a byte order mark, bytes that are not UTF-8, nesting
beyond `max_depth` and numbers beyond `MAX_NUMBER` characters (RFC 8259 leaves all of these to the parser; I-JSON,
RFC 7493, forbids most). Pure, thread-safe, and never quoting its input.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NoReturn

import orjson

from contracts.model import JsonValue

MAX_NUMBER = 400
"""Characters of one number. Enough for every float written in full; a bound for the conversion, which is quadratic."""

Numbers = Literal["exact", "lossless"]

_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_TELLS_NOTHING = re.compile(r"[A-Za-z_][A-Za-z_-]{0,39}")
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


class JsonTextError(ValueError):
    """Why a text is not JSON as we accept it, or a value not JSON as we write it.

    `code` is one of: `too_large`, `not_utf8`, `byte_order_mark`, `syntax`, `too_deep`, `duplicate_key`,
    `not_a_number` (NaN, Infinity), `lone_surrogate`, `number_precision`, `number_too_long`, `not_json`.
    `pointer` is a JSON pointer to the place where it is known; a key that is more than plain letters (and so
    might be a value) stands as `*` in it. `offset` counts code points (for `not_utf8` bytes) from the start.
    """

    def __init__(self, code: str, pointer: str | None = None, offset: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.pointer = pointer
        self.offset = offset


@dataclass(frozen=True, slots=True)
class RawNumber:
    """A number that no Python value writes the same way again, e.g. `1.10`, `1e400`, `-0`; `dump` writes `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class _Refused:
    """Stands where something refused was read, until its pointer is known."""

    code: str


class _RefusedError(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def parse(
    data: bytes | str, *, max_depth: int = 64, max_bytes: int | None = None, numbers: Numbers = "exact"
) -> JsonValue:
    """The value of a JSON text. `max_depth` counts nested arrays and objects; a bare string has depth 0.

    `exact`: every number keeps its value: an int of any size, or a float whose shortest form equals the text
    as a decimal; otherwise `number_precision`. `lossless`: every number keeps its text: one that `dump` would
    write otherwise becomes a `RawNumber`. Raises `JsonTextError` and nothing else.
    """
    text = _decode(data, max_bytes)
    value = _scan(text, numbers, max_depth)
    deep = text.count("[") + text.count("{") > max_depth and _is_deeper(value, max_depth)
    if deep or _ESCAPED_SURROGATE.search(text):
        _inspect(value, max_depth)
    return value


def dump(value: JsonValue) -> bytes:
    """Compact UTF-8, members in their order, the same bytes for the same value. Takes what `parse` gives (NaN is
    not among it). Raises `JsonTextError` for what JSON cannot hold: `lone_surrogate`, or else `not_json`."""
    try:
        return _exact(orjson.dumps(value, default=_fragment, option=_OPTIONS))
    except (TypeError, RecursionError):
        pass
    # Integers beyond 64 bits never reach `default`: wrap them, which costs a walk that others need not pay.
    try:
        return _exact(orjson.dumps(_wrap(value), default=_fragment, option=_OPTIONS))
    except (TypeError, RecursionError) as error:
        code = "lone_surrogate" if "surrogates" in str(error) else "not_json"
    raise JsonTextError(code)


def _exact(written: bytes) -> bytes:
    """A copy: orjson's own bytes keep the buffer in which it wrote, 4 KB for the shortest value."""
    return bytes(memoryview(written))


def _decode(data: bytes | str, max_bytes: int | None) -> str:
    if max_bytes is not None and len(data) > max_bytes:
        raise JsonTextError("too_large")
    code, offset = "not_utf8", None
    try:
        if isinstance(data, bytes):
            text = data.decode()
        else:
            text, size = data, len(data.encode())
            if max_bytes is not None and size > max_bytes:
                raise JsonTextError("too_large")
    except UnicodeDecodeError as error:
        offset = error.start
    except UnicodeEncodeError as error:
        code, offset = "lone_surrogate", error.start
    else:
        if text.startswith("\ufeff"):
            raise JsonTextError("byte_order_mark", offset=0)
        return text
    raise JsonTextError(code, offset=offset)  # outside of `except`: the decoder's error carries the whole input


def _scan(text: str, numbers: Numbers, max_depth: int) -> JsonValue:
    offset = None
    try:
        return _DECODERS[numbers].decode(text)
    except _RefusedError as error:
        code = error.code
    except json.JSONDecodeError as error:
        code, offset = "syntax", error.pos
    except RecursionError:
        code = "too_deep"
    if code in ("syntax", "too_deep"):
        raise JsonTextError(code, offset=offset)
    # Read again, marking instead of refusing, to say where it is. What cannot be read to its end has no pointer.
    try:
        marked = _MARKING[numbers].decode(text)
    except (json.JSONDecodeError, RecursionError):
        marked = None
    _inspect(marked, max_depth)
    raise JsonTextError(code)


def _is_deeper(value: JsonValue, max_depth: int) -> bool:
    """Whether arrays and objects are nested deeper than that; level by level, since most values are no containers."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(max_depth):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


def _inspect(value: JsonValue, max_depth: int) -> None:
    """Raises for the first thing, in the order of the text, that only the parsed value shows."""
    stack: list[tuple[JsonValue, tuple[Any, ...], int]] = [(value, (), 0)]
    while stack:
        item, path, depth = stack.pop()
        if isinstance(item, str):
            if not _encodable(item):
                raise JsonTextError("lone_surrogate", _pointer(path))
        elif isinstance(item, _Refused):
            raise JsonTextError(item.code, _pointer(path))
        elif isinstance(item, (dict, list)):
            if depth == max_depth:
                raise JsonTextError("too_deep", _pointer(path))
            if isinstance(item, dict):
                for key in item:
                    if not _encodable(key):
                        raise JsonTextError("lone_surrogate", _pointer((path, "")))
            members = item.items() if isinstance(item, dict) else enumerate(item)
            stack.extend(reversed([(child, (path, step), depth + 1) for step, child in members]))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _pointer(path: tuple[Any, ...]) -> str:
    steps: list[str] = []
    while path:
        path, step = path
        steps.append(str(step) if isinstance(step, int) or _TELLS_NOTHING.fullmatch(step) else "*")
    return "".join(f"/{step}" for step in reversed(steps))


def pointer_token(name: str) -> str:
    """One step of a JSON pointer (RFC 6901), with its slash."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def pointer_steps(pointer: str) -> tuple[str, ...]:
    """The steps of a JSON pointer, unescaped; none for the root."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def _is_exact(text: str, number: float) -> bool:
    written = repr(number)
    if written == text:
        return True
    if number == 0.0:  # underflow, or a zero with an exponent that Decimal may not hold
        return not re.search("[1-9]", re.split("[eE]", text, maxsplit=1)[0])
    return written not in ("inf", "-inf") and Decimal(text) == Decimal(written)


def _exact_int(text: str) -> int:
    if len(text) > MAX_NUMBER:
        raise _RefusedError("number_too_long")
    return int(text)


def _exact_float(text: str) -> float:
    if len(text) > MAX_NUMBER:
        raise _RefusedError("number_too_long")
    number = float(text)
    if not _is_exact(text, number):
        raise _RefusedError("number_precision")
    return number


def _lossless_int(text: str) -> int | RawNumber:
    if len(text) < 19:
        return int(text) if text != "-0" else RawNumber(text)
    number = int(text) if len(text) <= 20 else 1 << 64
    return number if -(1 << 63) <= number < 1 << 64 else RawNumber(text)


def _lossless_float(text: str) -> float | RawNumber:
    number = float(text)
    return number if orjson.dumps(number) == text.encode() else RawNumber(text)


def _refuse_constant(_: str) -> NoReturn:
    raise _RefusedError("not_a_number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RefusedError("duplicate_key")
    return members


def _marking(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def mark(read: Any) -> Any:
        try:
            return convert(read)
        except _RefusedError as error:
            return _Refused(error.code)

    return mark


def _mark_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        members[key] = _Refused("duplicate_key") if key in members else value
    return members


def _decoder(
    parse_int: Callable[[str], Any],
    parse_float: Callable[[str], Any],
    constant: Callable[[str], Any] = _refuse_constant,
    pairs: Callable[[list[tuple[str, Any]]], Any] = _unique,
) -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_int=parse_int, parse_float=parse_float, parse_constant=constant, object_pairs_hook=pairs, strict=True
    )


_DECODERS: dict[Numbers, json.JSONDecoder] = {
    "exact": _decoder(_exact_int, _exact_float),
    "lossless": _decoder(_lossless_int, _lossless_float),
}
_MARKING: dict[Numbers, json.JSONDecoder] = {
    "exact": _decoder(_marking(_exact_int), _marking(_exact_float), _marking(_refuse_constant), _mark_object),
    "lossless": _decoder(_lossless_int, _lossless_float, _marking(_refuse_constant), _mark_object),
}


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, RawNumber):
        return orjson.Fragment(value.text)
    raise TypeError


def _wrap(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _wrap(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_wrap(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 64:
        return orjson.Fragment(_decimal(value))
    return value


def _decimal(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # beyond the interpreter's limit of digits
        raise TypeError from None
