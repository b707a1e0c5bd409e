"""The HTTP request of a call: as its agent sent it where that asks for what was judged, else made anew. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from callgate.http_mapping.building import build
from callgate.http_mapping.errors import MappingError
from callgate.http_mapping.reading import RequestReader
from callgate.http_mapping.received import CONTENT_TYPE, Received
from callgate.jsontext import JsonTextError, dump
from contracts.functions import JSON, FunctionSpec, HttpConnection
from contracts.model import JsonValue


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request without its credential. Address and body hold raw values, so `repr` shows neither."""

    method: str
    url: str = field(repr=False)
    """Absolute, ASCII, encoded: to be sent as it stands."""
    headers: tuple[tuple[str, str], ...]
    body: bytes | None = field(repr=False)


def build_request(
    connection: HttpConnection,
    spec: FunctionSpec,
    arguments: Mapping[str, JsonValue],
    received: Received | None = None,
) -> HttpRequest:
    """The request that runs the function. Raises `MappingError` and nothing else.

    What came through the proxy is sent as it came, byte for byte, if the arguments read from it are the ones given:
    those that policy judged. Otherwise (somebody amended them, or tokens in them were resolved) the request is made of
    the arguments, and keeps what the agent said beside them: under which condition, and what it takes for an answer.
    The connection's own headers go with either.
    """
    if received is not None and _says(received, spec, arguments):
        as_sent = {name.title(): value for name, value in received.headers} | connection.headers
        target = connection.base_url + received.target
        return HttpRequest(spec.method, target, tuple(as_sent.items()), received.body or None)
    built = build(spec, arguments)
    headers = {"Accept": JSON}
    if received is not None:
        headers |= {name.title(): value for name, value in received.headers if name != CONTENT_TYPE}
    if built.content_type is not None:
        headers["Content-Type"] = built.content_type
    headers |= connection.headers
    return HttpRequest(spec.method, connection.base_url + built.target, tuple(headers.items()), built.body)


def _says(received: Received, spec: FunctionSpec, arguments: Mapping[str, JsonValue]) -> bool:
    """Whether the request, read anew, asks for exactly these arguments: compared as bytes, since 1 is not 1.0."""
    try:
        return dump(RequestReader(spec).read(received)) == dump(dict(arguments))
    except (MappingError, JsonTextError):
        return False
