"""One JSON-RPC message from the bytes of a request, with a tool call's arguments taken out. Pure.

The SDK's parsers would round numbers, keep the last of two equal keys and quote what they refuse. So the text is read
here, by the rules of every other door, and the SDK sees no arguments.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp.shared.inbound import validate_mcp_param_headers
from mcp_types import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR

from callgate.jsontext import JsonTextError, dump, parse
from services.ingress.domain import SESSION_NAME

SESSION_META = "dev.callgate/session"
"""Names the Callgate session in a request's `_meta`, which wins over the header of headers.SESSION_HEADER."""
KEY_META = "dev.callgate/idempotency-key"
"""A tool call's idempotency key in its `_meta`, which wins over the header `Idempotency-Key`."""
_ENVELOPE_DEPTH = 2
"""The message and its `params`, around the arguments."""


class BadMessage(Exception):
    """A body that is no message as we take it: a JSON-RPC error whose words quote nothing of it."""

    def __init__(self, code: int, message: str, request_id: str | int | None = None, data: Any = None) -> None:
        super().__init__(message)
        error = {"code": code, "message": message} | ({"data": data} if data is not None else {})
        self.document = {"jsonrpc": "2.0", "id": request_id, "error": error}


@dataclass(frozen=True, slots=True)
class Message:
    """A request, or a notification, which has no id. `params` are without the arguments of a tool call: those are
    `arguments`, the JSON of an object."""

    method: str
    request_id: str | int | None
    params: Mapping[str, Any] = field(repr=False)
    arguments: bytes = field(repr=False)

    @property
    def meta(self) -> Mapping[str, Any]:
        meta = self.params.get("_meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def tool(self) -> str | None:
        """The name of the tool that is called; None for what is no such call."""
        name = self.params.get("name") if self.method == "tools/call" else None
        return name if isinstance(name, str) else None

    @property
    def cancelled(self) -> str | int | None:
        """The id of the request that a `notifications/cancelled` names."""
        named = self.params.get("requestId") if self.method == "notifications/cancelled" else None
        return named if isinstance(named, str | int) and not isinstance(named, bool) else None

    @property
    def progress_token(self) -> str | int | None:
        token = self.meta.get("progressToken")
        return token if isinstance(token, str | int) and not isinstance(token, bool) else None

    def keys(self, headers: Sequence[str]) -> Sequence[str]:
        """The idempotency keys that the client sent, here or by headers; what is no text is "", which is no key."""
        if KEY_META not in self.meta:
            return headers
        key = self.meta[KEY_META]
        return (key if isinstance(key, str) else "",)

    def session(self, header: str | None) -> str | None:
        """The Callgate session that the client names, here or by a header. BadMessage."""
        named = self.meta.get(SESSION_META, header)
        if named is None:
            return None
        if not isinstance(named, str) or not SESSION_NAME.fullmatch(named):
            detail = "A session is named by its id, or by 1-64 of A-Z a-z 0-9 . _ : -"
            raise BadMessage(INVALID_PARAMS, detail, self.request_id)
        return named


Mirrored = Callable[[str], Mapping[str, Any] | None]
"""The input schema of a tool, whose arguments may have to stand in headers too."""


def read_message(
    body: bytes, depth_limit: int, headers: Mapping[str, str], mirrored: Mirrored = lambda _: None
) -> Message:
    """The message of a body. BadMessage for everything else, batches among it."""
    try:
        document = parse(body, max_depth=depth_limit + _ENVELOPE_DEPTH, numbers="exact")
    except JsonTextError as error:
        places = {"reason": error.code, "pointer": error.pointer, "offset": error.offset}
        data = {name: place for name, place in places.items() if place is not None}
        raise BadMessage(PARSE_ERROR, "The body is not JSON as it is accepted here.", data=data) from None
    if isinstance(document, list):
        raise BadMessage(INVALID_REQUEST, "Batches are not taken; send one message a request.")
    if not isinstance(document, dict) or document.get("jsonrpc") != "2.0":
        raise BadMessage(INVALID_REQUEST, "The body must be one JSON-RPC 2.0 message.")
    method, request_id, params = document.get("method"), document.get("id"), document.get("params", {})
    if "id" in document and (not isinstance(request_id, str | int) or isinstance(request_id, bool)):
        raise BadMessage(INVALID_REQUEST, "The `id` of a request must be a text or an integer.")
    if not isinstance(method, str):
        # A client's answer to a question of the server's, which this one never asks.
        raise BadMessage(INVALID_REQUEST, "The message has no `method`.", request_id)
    if not isinstance(params, dict):
        raise BadMessage(INVALID_PARAMS, "`params` must be an object.", request_id)
    message = Message(method, request_id, params, b"{}")
    arguments = params.get("arguments", {})
    if message.tool is None or not isinstance(arguments, dict):
        return message
    schema = mirrored(message.tool)
    if schema is not None:
        _check_mirrored(message, schema, arguments, headers)
    return Message(method, request_id, {**params, "arguments": {}}, dump(arguments))


def _check_mirrored(
    message: Message, schema: Mapping[str, Any], arguments: Mapping[str, Any], headers: Mapping[str, str]
) -> None:
    """That `Mcp-Param-*` headers say what the arguments say, where the schema asks for them."""
    rejection = validate_mcp_param_headers(schema, arguments, headers)
    if rejection is not None:
        raise BadMessage(rejection.code, rejection.message, message.request_id)
