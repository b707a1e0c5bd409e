"""What /openapi.json says of the doors that parse their requests themselves."""

from typing import Any

from contracts.lifecycle import STATUS_OF

_PREFER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "How long to wait for the outcome (RFC 7240); `Preference-Applied` says what was made of it.",
    "schema": {"type": "string", "examples": ["wait=10", "respond-async"]},
}
PREFER: dict[str, Any] = {"parameters": [_PREFER]}
LAST_EVENT: dict[str, Any] = {
    "parameters": [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "required": False,
            "description": "The `id` of the last event that was seen; those after it follow.",
            "schema": {"type": "string"},
        }
    ]
}
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
        _PREFER,
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same key and body are one call, however often and wherever they are sent.",
            "schema": {"type": "string", "maxLength": 257, "examples": ["8e03978e-40d5-43dd-bc93-6894a57f9324"]},
        },
    ],
}

_PAUSE = "Seconds until it makes sense to ask again."
_TEXT: dict[str, Any] = {"type": "string"}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}

_AMENDMENT: dict[str, Any] = {
    "type": "object",
    "required": ["by", "at"],
    "properties": {
        "by": _TEXT,
        "at": _TIME,
        "reason": _TEXT,
        "changes": {
            "type": "array",
            "description": "Masked values by JSON pointer; `before` or `after` is left out where there is none.",
            "items": {"type": "object", "required": ["path"], "properties": {"path": _TEXT, "before": {}, "after": {}}},
        },
        "more": {"type": "boolean", "description": "There are more changes than are listed."},
    },
}
OUTCOME: dict[str, Any] = {
    "type": "object",
    "description": "A call, as far as it is. docs/codes.md says what each `status` and `code` means.",
    "required": ["id", "session", "function", "status", "event", "at"],
    "properties": {
        "id": {**_TEXT, "description": "Ask again at /v1/calls/{id}."},
        "session": {**_TEXT, "description": "The session's id; a name that was sent leads to the same."},
        "function": _TEXT,
        "status": {**_TEXT, "enum": sorted(set(STATUS_OF.values()))},
        "event": {**_TEXT, "description": "The last event of the call on the log."},
        "at": _TIME,
        "code": _TEXT,
        "detail": _TEXT,
        "policies": _TEXTS,
        "freeze": {**_TEXT, "description": "The id of the freeze that stopped it, where the code is `frozen`."},
        "problems": {"type": "array", "items": {"type": "object"}, "description": "Where the arguments are wrong."},
        "reason": {**_TEXT, "description": "Why a reviewer said no, or a person that it was not done."},
        "amendments": {
            "type": "array",
            "items": _AMENDMENT,
            "description": "How reviewers changed the arguments; the call runs, if at all, with what they left.",
        },
        "settlement": {
            "type": "object",
            "properties": {"outcome": {"enum": ["done", "not_done", "run_again"]}, "at": _TIME},
            "description": "What a person found out, or decided, where nobody knew what came of it.",
        },
        "approvals": {
            "type": "object",
            "properties": {
                "requirements": {"type": "array", "items": {"type": "object"}},
                "expires_at": _TIME,
                "votes": {"type": "array", "items": {"type": "object"}},
            },
        },
        "findings": {
            "type": "array",
            "items": {"type": "object", "properties": {"path": _TEXT, "entity": _TEXT}},
            "description": "Where the result was masked, and what it was.",
        },
        "header_findings": {
            "type": "array",
            "items": {"type": "object", "properties": {"path": _TEXT, "entity": _TEXT}},
            "description": "Which headers of the proxy's answer were masked (`/location`), and what it was.",
        },
        "result": {
            "type": "object",
            "description": "The function's own answer, masked.",
            "properties": {"status": {"type": "integer"}, "content_type": {"type": ["string", "null"]}, "body": {}},
        },
        "withheld": {**_TEXT, "description": "Why the result is not shown."},
    },
}
FUNCTIONS: dict[str, Any] = {
    "type": "object",
    "description": "`functions`; with `format`, `tools` as that API takes them.",
    "properties": {
        "tools": {"type": "array", "items": {"type": "object"}},
        "functions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "description", "tags", "idempotent", "input"],
                "properties": {
                    "name": _TEXT,
                    "description": _TEXT,
                    "tags": _TEXTS,
                    "idempotent": {"type": "boolean"},
                    "input": {"type": "object", "description": "JSON Schema (2020-12) of the arguments."},
                },
            },
        },
    },
}


def _answer(description: str, schema: dict[str, Any], **headers: str) -> dict[str, Any]:
    shown = {name: {"description": text, "schema": _TEXT} for name, text in headers.items()}
    content = {"application/json": {"schema": schema}}
    return {"description": description, "content": content} | ({"headers": shown} if shown else {})


KNOWN: dict[int | str, dict[str, Any]] = {
    200: _answer("Known, whatever the outcome is: `status` says which.", OUTCOME),
}
CALL: dict[int | str, dict[str, Any]] = KNOWN | {
    202: _answer(
        "Not answered yet; the call goes on.",
        OUTCOME,
        **{"Location": "Where to ask again.", "Retry-After": _PAUSE},
    ),
}
_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {**_TEXT, "description": "Where it stands on the log; for `Last-Event-ID`."},
        "event": {**_TEXT, "description": "Its name."},
        "data": {**_TEXT, "description": "A JSON object: `id` of the call, `at`, and what is told of such an event."},
        "retry": {"type": "integer", "description": "Milliseconds after which to come again."},
    },
}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": (
            "The call's events, one after the other, to its end. Where the token expires or is revoked before, the "
            "last one is `unauthenticated`, without an `id`; its data has the `code`."
        ),
        "content": {"text/event-stream": {"schema": _EVENT}},
    },
}
CALLS: dict[int | str, dict[str, Any]] = {
    200: _answer(
        "A page of the session's calls.",
        {
            "type": "object",
            "required": ["calls", "next"],
            "properties": {
                "calls": {"type": "array", "items": OUTCOME},
                "next": {"type": ["string", "null"], "description": "Send it as `after` for the next page."},
            },
        },
    ),
}
LIST: dict[int | str, dict[str, Any]] = {200: _answer("Every function.", FUNCTIONS)}


def _tool_calls(example: dict[str, Any]) -> dict[str, Any]:
    headers = (
        ("Prefer", "How long to wait for answers, e.g. wait=50."),
        ("Idempotency-Key", "The same key and body are the same calls; needed to go on waiting after 202."),
        ("Callgate-Session", "The session: its id, or a name of yours."),
    )
    parameters = [
        {"name": name, "in": "header", "required": False, "description": text, "schema": _TEXT}
        for name, text in headers
    ]
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    answers = {
        "200": _answer("Every call has its answer.", TOOL_MESSAGES),
        "202": _answer("Some wait still; send the same again.", TOOL_MESSAGES, **{"Retry-After": _PAUSE}),
    }
    return {"requestBody": {"required": True, "content": content}, "parameters": parameters, "responses": answers}


TOOL_MESSAGES: dict[str, Any] = {
    "type": "object",
    "required": ["messages", "session", "calls"],
    "properties": {
        "messages": {"type": "array", "items": {"type": "object"}, "description": "To be appended to the model's."},
        "session": {"type": ["string", "null"]},
        "calls": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool_call", "id", "status"],
                "properties": {"tool_call": _TEXT, "id": _TEXT, "status": _TEXT},
            },
        },
    },
}
TOOL_CALLS: dict[str, dict[str, Any]] = {
    "openai": _tool_calls(
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "crm-read_customer", "arguments": '{"id": "c42"}'},
                }
            ],
        }
    ),
    "anthropic": _tool_calls(
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": "crm-read_customer", "input": {"id": "c42"}}],
        }
    ),
}
