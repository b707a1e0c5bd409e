"""A function and its arguments to an HTTP request. Pure: what is built here is what is sent.

Arguments are data, never syntax: a value can change neither the path's segments nor the query's names nor the
host, and none becomes a header. What would be ambiguous upstream is refused, not repaired.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from callgate.jsontext import JsonTextError, RawNumber, dump
from contracts.functions import PLACEHOLDER, Function, FunctionSpec, HttpConnection
from contracts.model import JsonValue

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_LITERAL = "/:@!$&'()*+,;=-._~%"
"""What stands unencoded in a path template: RFC 3986 `pchar`, its escapes, and the slash between segments."""
_SEPARATOR = re.compile(r"[/\\]")


class RequestError(ValueError):
    """Why no request can be built of these arguments.

    `code` is one of: `path_parameter_missing`, `path_parameter_empty`, `path_parameter_not_scalar`, `dot_segment`
    (`.` or `..` alone or between slashes, which some servers resolve even when encoded), `query_parameter_not_scalar`
    (an object, or an array of anything but scalars), `lone_surrogate`, `not_json`. `parameter` is a name from the
    function's definition, never one that an agent made up.
    """

    def __init__(self, code: str, parameter: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request without its credential. Address and body hold raw values, so `repr` shows neither."""

    method: str
    url: str = field(repr=False)
    """Absolute, ASCII, encoded: to be sent as it stands."""
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = field(repr=False)


def build_request(connection: HttpConnection, function: Function, arguments: Mapping[str, JsonValue]) -> HttpRequest:
    """The request that runs the function. Raises `RequestError` and nothing else.

    Path parameters are percent-encoded whole; `query` parameters follow (arrays repeat the name, null is left
    out); what remains is the JSON object in the body of POST, PUT and PATCH, or else more of the query.
    """
    spec = function.spec
    if not isinstance(spec, FunctionSpec):
        raise TypeError("not a function of an HTTP connection")
    placed = {*spec.path_parameters, *spec.query}
    rest = {name: value for name, value in arguments.items() if name not in placed}
    query: list[tuple[str, JsonValue, str | None]]
    query = [(name, arguments[name], name) for name in spec.query if name in arguments]
    headers = [("Accept", "application/json")]
    body = None
    if spec.method in _WITH_BODY:
        headers.append(("Content-Type", "application/json"))
        body = _json(rest)
    else:
        query.extend((name, value, None) for name, value in rest.items())
    url = connection.base_url + _path(spec.path, arguments)
    if pairs := [pair for name, value, known in query for pair in _query(name, value, known)]:
        url += "?" + "&".join(pairs)
    return HttpRequest(spec.method, url, tuple(headers), body)


def _path(template: str, arguments: Mapping[str, JsonValue]) -> str:
    parts, end = [], 0
    for placeholder in PLACEHOLDER.finditer(template):
        parts += [quote(template[end : placeholder.start()], safe=_LITERAL), _parameter(placeholder[1], arguments)]
        end = placeholder.end()
    path = "".join(parts) + quote(template[end:], safe=_LITERAL)
    # Over the whole path, decoded: `{a}{b}` with two dots, or `x/../y` in one parameter, for servers (and proxies
    # before them) that decode first and resolve dot segments then.
    if any(segment in (".", "..") for segment in _SEPARATOR.split(unquote(path))):
        raise RequestError("dot_segment")
    return path


def _parameter(name: str, arguments: Mapping[str, JsonValue]) -> str:
    if name not in arguments:
        raise RequestError("path_parameter_missing", name)
    text = _scalar(arguments[name], name)
    if text is None:
        raise RequestError("path_parameter_not_scalar", name)
    if not text:
        raise RequestError("path_parameter_empty", name)
    return _encode(text, name)


def _query(name: str, value: JsonValue, known: str | None) -> list[str]:
    if value is None:
        return []
    pairs = []
    for item in value if isinstance(value, list) else [value]:
        text = _scalar(item, known)
        if text is None:
            raise RequestError("query_parameter_not_scalar", known)
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
    raise RequestError(code, parameter)


def _encode(text: str, parameter: str | None) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        pass
    raise RequestError("lone_surrogate", parameter)  # outside of `except`: the encoder's error carries the value
