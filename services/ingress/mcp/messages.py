"""One JSON-RPC message from the bytes of a request, with a tool call's arguments taken out. Pure.

The SDK's parsers would round numbers, keep the last of two equal keys and quote what they refuse. So the text is read
here, by the rules of every other door, and the SDK gets what is left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp.shared.inbound import validate_mcp_param_headers
from mcp_types import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR

from callgate.jsontext import JsonTextError, dump, parse
from services.ingress.domain import SESSION_NAME

SESSION_META = "dev.callgate/session"
"""Names the Callgate session in a request's `_meta`."""
SESSION_HEADER = "callgate-session"
"""The same as a header; `_meta` wins."""
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
    """`text` is the message without the arguments of a tool call, which are `arguments`, the JSON of an object."""

    method: str
    request_id: str | int | None
    params: Mapping[str, Any] = field(repr=False)
    arguments: bytes = field(repr=False)
    session: str | None
    text: bytes = field(repr=False)

    @property
    def cancelled(self) -> str | None:
        """The id of the request that a `notifications/cancelled` names, as a text."""
        named = self.params.get("requestId") if self.method == "notifications/cancelled" else None
        return str(named) if isinstance(named, str | int) else None


def read_message(body: bytes, depth_limit: int, session: str | None) -> Message:
    """The message of a body; `session` is the header's. BadMessage for everything else, batches among it."""
    try:
        document = parse(body, max_depth=depth_limit + _ENVELOPE_DEPTH, numbers="exact")
    except JsonTextError as error:
        places = {"reason": error.code, "pointer": error.pointer, "offset": error.offset}
        data = {name: place for name, place in places.items() if place is not None}
        raise BadMessage(PARSE_ERROR, "The body is not JSON as it is accepted here.", data=data) from None
    if isinstance(document, list):
        raise BadMessage(INVALID_REQUEST, "Batches are not taken; send one message a request.")
    if not isinstance(document, dict):
        raise BadMessage(INVALID_REQUEST, "The body must be one JSON-RPC message.")
    method, request_id, params = document.get("method"), document.get("id"), document.get("params", {})
    if not isinstance(request_id, str | int) or isinstance(request_id, bool):
        request_id = None
    if not isinstance(method, str):
        # A client's answer to a question of the server's, which this one never asks.
        raise BadMessage(INVALID_REQUEST, "The message has no `method`.", request_id)
    if not isinstance(params, dict):
        raise BadMessage(INVALID_PARAMS, "`params` must be an object.", request_id)
    arguments = params.get("arguments", {})
    is_call = method == "tools/call" and isinstance(arguments, dict)
    session = _named_session(params, session, request_id)
    if not is_call:
        return Message(method, request_id, params, b"{}", session, body)
    text = dump({**document, "params": {**params, "arguments": {}}})
    return Message(method, request_id, params, dump(arguments), session, text)


def check_mirrored(message: Message, schema: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """That `Mcp-Param-*` headers say what the arguments say, where the schema asks for them. BadMessage."""
    rejection = validate_mcp_param_headers(schema, message.params.get("arguments", {}), headers)
    if rejection is not None:
        raise BadMessage(rejection.code, rejection.message, message.request_id)


def _named_session(params: Mapping[str, Any], header: str | None, request_id: str | int | None) -> str | None:
    meta = params.get("_meta")
    named = meta.get(SESSION_META, header) if isinstance(meta, dict) else header
    if named is None:
        return None
    if not isinstance(named, str) or not SESSION_NAME.fullmatch(named):
        detail = "A session is named by its id, or by 1-64 of A-Z a-z 0-9 . _ : -"
        raise BadMessage(INVALID_PARAMS, detail, request_id)
    return named
