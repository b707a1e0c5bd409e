"""A function and its arguments to an HTTP request: what is built here is what is sent.

Arguments are data, never syntax: a value can change neither the path's segments nor the query's names nor the
host, and none becomes a header. What would be ambiguous upstream is refused, not repaired.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from callgate.http_mapping.errors import MappingError
from callgate.jsontext import JsonTextError, RawNumber, dump
from contracts.functions import PLACEHOLDER, FunctionSpec
from contracts.model import JsonValue

LITERAL = "/:@!$&'()*+,;=-._~%"
"""What stands unencoded in a path template: RFC 3986 `pchar`, its escapes, and the slash between segments."""
_SEPARATOR = re.compile(r"[/\\]")


@dataclass(frozen=True, slots=True)
class Built:
    """A request below its connection's address. It holds raw values, so `repr` shows neither."""

    target: str = field(repr=False)
    """Path and query, ASCII, encoded: to be sent as it stands."""
    content_type: str | None
    body: bytes | None = field(repr=False)


def build(spec: FunctionSpec, arguments: Mapping[str, JsonValue]) -> Built:
    """The request that runs the function. MappingError: `path_parameter_missing`, `path_parameter_empty`,
    `path_parameter_not_scalar`, `dot_segment` (`.` or `..` alone or between slashes, which some servers resolve even
    when encoded), `query_parameter_not_scalar` (an object, or an array of anything but scalars),
    `form_field_not_scalar`, `body_not_text`, `lone_surrogate`, `not_json`.

    Path parameters are percent-encoded whole; `query` parameters follow (arrays repeat the name, null is left out);
    what remains is the body of POST, PUT and PATCH, as the function's `content` says, or else more of the query.
    """
    placed = {*spec.path_parameters, *spec.query}
    rest = {name: value for name, value in arguments.items() if name not in placed}
    query = [(name, arguments[name], name) for name in spec.query if name in arguments]
    target = _path(spec.path, arguments)
    content_type = body = None
    if spec.has_body:
        content_type, body = spec.content, _body(spec, rest)
        if spec.body_kind == "text":
            content_type += "; charset=utf-8"
    else:
        query += [(name, value, "") for name, value in rest.items()]
    if pairs := [pair for name, value, known in query for pair in _pairs(name, value, known or None)]:
        target += "?" + "&".join(pairs)
    return Built(target, content_type, body)


def refuse_dot_segments(path: str) -> None:
    """Over the whole path, decoded: `{a}{b}` with two dots, or `x/../y` in one parameter, for servers (and proxies
    before them) that decode first and resolve dot segments then."""
    if any(segment in (".", "..") for segment in _SEPARATOR.split(unquote(path))):
        raise MappingError("dot_segment")


def _body(spec: FunctionSpec, rest: Mapping[str, JsonValue]) -> bytes:
    match spec.body_kind:
        case "json":
            return _json(rest)
        case "form":
            known = spec.input.get("properties", {})
            return "&".join(_form(rest.items(), known)).encode()
        case "text":
            text = rest.get(spec.body_parameter or "", "")
            if not isinstance(text, str) or len(rest) > 1:
                raise MappingError("body_not_text", spec.body_parameter)
            return _utf8(text, spec.body_parameter)


def _form(fields: Iterable[tuple[str, JsonValue]], known: Mapping[str, JsonValue]) -> list[str]:
    pairs: list[str] = []
    for name, value in fields:
        pairs += _pairs(name, value, name if name in known else None, "form_field_not_scalar")
    return pairs


def _path(template: str, arguments: Mapping[str, JsonValue]) -> str:
    parts, end = [], 0
    for placeholder in PLACEHOLDER.finditer(template):
        parts += [quote(template[end : placeholder.start()], safe=LITERAL), _parameter(placeholder[1], arguments)]
        end = placeholder.end()
    path = "".join(parts) + quote(template[end:], safe=LITERAL)
    refuse_dot_segments(path)
    return path


def _parameter(name: str, arguments: Mapping[str, JsonValue]) -> str:
    if name not in arguments:
        raise MappingError("path_parameter_missing", name)
    text = _scalar(arguments[name], name)
    if text is None:
        raise MappingError("path_parameter_not_scalar", name)
    if not text:
        raise MappingError("path_parameter_empty", name)
    return _encode(text, name)


def _pairs(name: str, value: JsonValue, known: str | None, structured: str = "query_parameter_not_scalar") -> list[str]:
    """`structured` is the code for a value that no text stands for."""
    if value is None:
        return []
    pairs = []
    for item in value if isinstance(value, list) else [value]:
        text = _scalar(item, known)
        if text is None:
            raise MappingError(structured, known)
        pairs.append(f"{_encode(name, known)}={_encode(text, known)}")
    return pairs


def _scalar(value: JsonValue, parameter: str | None) -> str | None:
    """A string, a boolean as true or false, a number as in JSON; None for whatever else."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float, RawNumber)):
        return _json(value, parameter).decode()
    return None


def _json(value: JsonValue, parameter: str | None = None) -> bytes:
    try:
        return dump(value)
    except JsonTextError as error:
        code = error.code
    raise MappingError(code, parameter)


def _encode(text: str, parameter: str | None) -> str:
    return quote(_utf8(text, parameter), safe="")


def _utf8(text: str, parameter: str | None) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    raise MappingError("lone_surrogate", parameter)  # outside of `except`: the encoder's error carries the value
