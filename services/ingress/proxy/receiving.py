"""From an HTTP request to what of it goes on to a function. What could be read in two ways is refused here. Pure."""

from typing import Final, NamedTuple

from starlette.datastructures import Headers

from callgate.http import Problem
from callgate.http_mapping.errors import MappingError
from callgate.http_mapping.received import CONTENT_TYPE, FORWARDED, Received
from contracts.functions import FunctionSpec
from services.ingress.headers import SESSION_HEADER

PREFIX: Final = "/proxy/"
_CLOSE: Final = {"Connection": "close"}
_LISTS: Final = frozenset({"accept", "accept-language"})
"""Headers that may come in several lines; they mean one list."""
_COUNTING: Final = frozenset(
    {*FORWARDED, "authorization", "dpop", "idempotency-key", "prefer", SESSION_HEADER.lower()}
    | {"content-encoding", "content-length", "content-range", "host", "traceparent"}
)
"""Headers that go on to the function, or that say what we do with a request."""


class Target(NamedTuple):
    connection: str
    path: str
    """Below the connection's address, as it came."""
    query: str


def target_of(raw_path: bytes, query: bytes) -> Target:
    """Where a request goes. A plus in a query becomes %20, which is a space to everybody; nothing else changes.

    Problem 400 where it is no ASCII, 404 where the prefix is written in another way than plainly.
    """
    try:
        path, query_text = raw_path.decode("ascii"), query.decode("ascii")
    except UnicodeDecodeError:
        raise Problem(400, "target_malformed", "Percent-encode what is not ASCII in path and query.") from None
    if not path.startswith(PREFIX):
        raise Problem(404, "no_such_connection", "Write the address as /proxy/<connection>/…, without escapes.")
    connection, _, rest = path.removeprefix(PREFIX).partition("/")
    return Target(connection, f"/{rest}", query_text.replace("+", "%20"))


def check_connection(headers: Headers) -> None:
    """What a client says of its connection. Problem 501 for a WebSocket, which no plain answer is; 400 where it says
    that a header which counts ends here: whether it held would depend on who reads it (RFC 9110, 7.6.1)."""
    if "websocket" in _tokens(headers, "upgrade"):
        detail = "The proxy carries requests and their answers; WebSockets do not go through it."
        raise Problem(501, "upgrade_unsupported", detail, _CLOSE)
    if nominated := sorted(_tokens(headers, "connection") & _COUNTING):
        detail = "`Connection` names a header that goes beyond this connection; leave it out there."
        raise Problem(400, "header_malformed", detail, _CLOSE, {"header": nominated[0]})


def _tokens(headers: Headers, name: str) -> set[str]:
    return {token.strip().lower() for value in headers.getlist(name) for token in value.split(",")}


def check_head(headers: Headers, spec: FunctionSpec) -> None:
    """Before the body is read. Problem: 400, 415."""
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "content_encoded", "Send the body without a Content-Encoding.", _CLOSE)
    if "content-range" in headers:
        raise Problem(400, "content_range", "Send the whole body; Callgate judges no part of one.", _CLOSE)
    if not _may_have_body(headers):
        return
    if not spec.has_body:
        raise Problem(400, "body_unexpected", f"A {spec.method} of this function takes no body.", _CLOSE)
    found = headers.getlist(CONTENT_TYPE)
    if len(found) != 1 or found[0].partition(";")[0].strip().lower() != spec.content:
        raise Problem(415, "media_type_unsupported", _TYPE.format(spec.content), _CLOSE, {"accepts": spec.content})
    if not FORWARDED[CONTENT_TYPE].fullmatch(found[0]):
        detail = f"Send `Content-Type: {spec.content}` in UTF-8, with no other parameter than charset."
        raise Problem(415, "charset_unsupported", detail, _CLOSE)


_TYPE = (
    "This function takes `{}` alone. What nobody can inspect or judge (multipart, files, other binary) does not go "
    "through: have the function take a reference to it, or tell the operator to declare its `content:`."
)


def received_of(target: Target, headers: Headers, body: bytes) -> Received:
    """The request as it goes on. Problem 400 for a header of FORWARDED that does not hold what it should: taken for
    absent, a condition would be none."""
    forwarded = []
    for name, form in FORWARDED.items():
        found = headers.getlist(name)
        if not found or (name == CONTENT_TYPE and not body):
            continue
        value = ", ".join(found) if name in _LISTS else found[0]
        if (len(found) > 1 and name not in _LISTS) or not form.fullmatch(value):
            detail = f"`{name}` is repeated, too long or malformed."
            raise Problem(400, "header_malformed", detail, extra={"header": name})
        forwarded.append((name, value))
    return Received(target.path, target.query, tuple(forwarded), body)


def problem_of(error: MappingError) -> Problem:
    """What a sender is told whose request stands for no arguments."""
    detail = _DETAILS.get(error.code)
    extra = {} if error.parameter is None else {"parameter": error.parameter}
    if detail is None:
        return Problem(
            400, "malformed_json", "The body is not JSON as Callgate accepts it.", extra={"reason": error.code}
        )
    return Problem(400, error.code, detail, extra=extra)


_DETAILS = {
    "no_such_route": "No function of this connection has this path.",
    "path_malformed": "The path holds characters that must be percent-encoded, or that are encoded twice.",
    "encoded_slash": "A parameter of the path holds a slash, which some servers take for two segments; "
    "ask for the call by POST /v1/calls, where it is an argument.",
    "dot_segment": "A segment of the path is `.` or `..`, which some servers resolve.",
    "not_utf8": "Path, query or body is not UTF-8, or begins with a byte order mark.",
    "query_malformed": "Write the query as `name=value` joined by `&`, all else percent-encoded (`;` as %3B).",
    "form_malformed": "Write the form as `name=value` joined by `&`, all else percent-encoded (`;` as %3B).",
    "parameter_unknown": "The function has no such parameter in this place; GET /v1/functions shows its input.",
    "parameter_repeated": "A parameter is given more than once, and takes one value.",
    "parameter_mistyped": "A parameter is not of the type that its schema says; GET /v1/functions shows it.",
    "parameter_ambiguous": "The function's schema lets this text be several values; "
    "ask for the call by POST /v1/calls, or tell the operator to give the parameter one type.",
    "number_precision": "A number has more digits than can be judged exactly.",
    "body_not_an_object": "The body must be a JSON object: its members are the function's arguments.",
}


def _may_have_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""
