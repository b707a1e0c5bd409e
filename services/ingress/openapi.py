"""What /openapi.json says of the doors that parse their requests themselves."""

from typing import Any

CALL_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["function", "arguments"],
                    "additionalProperties": False,
                    "properties": {
                        "function": {"type": "string", "examples": ["payments.refund"]},
                        "arguments": {"type": "object"},
                        "session": {"type": "string", "description": "A session's id, or a name of your own for one."},
                    },
                }
            }
        },
    },
    "parameters": [
        {
            "name": "Prefer",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "examples": ["wait=10", "respond-async"]},
        }
    ],
}

_PROBLEM = {"application/problem+json": {"schema": {"type": "object"}}}

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Known: for a call, whatever its outcome is. `status` says which."},
    202: {"description": "Not answered yet; ask again at `Location`."},
    "4XX": {"description": "A problem document (RFC 9457); `code` says which.", "content": _PROBLEM},
    503: {"description": "The log is out of reach or full; `Retry-After` says when to try again.", "content": _PROBLEM},
}
