"""What /openapi.json says of the bodies that the doors of approval parse themselves."""

from typing import Any, get_args

from contracts.records import FreezeScope
from services.approval.grant_forms import USES_LIMIT

_TEXT: dict[str, Any] = {"type": "string"}
_REASON: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 2000}
_PERHAPS: dict[str, Any] = {"type": ["string", "null"]}
_FOR: dict[str, Any] = {"type": ["string", "null"], "examples": ["30m", "2h"], "description": "In s, m, h or d."}
_DIGEST: dict[str, Any] = {**_TEXT, "description": "Of what you saw: GET gives it with the arguments."}


def _body(required: tuple[str, ...], **properties: dict[str, Any]) -> dict[str, Any]:
    """As `openapi_extra` of a route takes it."""
    schema = {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


VOTE = _body(
    ("decision", "digest"),
    decision={"enum": ["approve", "reject"]},
    reason={**_PERHAPS, "maxLength": 2000},
    digest=_DIGEST,
    break_glass={"type": "boolean", "description": "To approve alone, where policy lets you."},
)
AMENDMENT = _body(
    ("digest", "patch"),
    digest=_DIGEST,
    patch={"type": "array", "items": {"type": "object"}, "description": "A JSON Patch (RFC 6902) on the arguments."},
    reason={**_PERHAPS, "maxLength": 2000},
)
SETTLEMENT = _body(
    ("digest", "outcome", "reason"),
    digest=_DIGEST,
    outcome={"enum": ["done", "not_done", "run_again"]},
    reason=_REASON,
    evidence=_PERHAPS,
    result={"description": "With `done`: what the function would have answered."},
)
FREEZE = _body(
    ("scope", "reason"),
    scope={"enum": list(get_args(FreezeScope))},
    target={**_PERHAPS, "description": "Which; none where everything is frozen."},
    issuer={**_PERHAPS, "description": "Of an agent alone."},
    reason=_REASON,
    **{"for": _FOR},
)
GRANT = _body(
    ("uses", "for", "reason"),
    call={**_TEXT, "description": "Calls like this one; or name `agent` and `function`."},
    bind={"enum": ["agent", "session"], "description": "With `call`."},
    agent=_TEXT,
    issuer=_PERHAPS,
    on_behalf_of=_PERHAPS,
    session=_PERHAPS,
    function=_TEXT,
    conditions={"type": "object", "additionalProperties": {"type": "object"}, "examples": [{"amount": {"lte": 40}}]},
    uses={"type": "integer", "minimum": 1, "maximum": USES_LIMIT},
    reason=_REASON,
    **{"for": {**_FOR, "type": "string"}},
)
REVOCATION = _body(
    ("scope", "target", "reason"),
    scope={"enum": ["subject", "token"]},
    target={**_TEXT, "description": "The subject as policies name it, or the token's jti."},
    issuer={**_PERHAPS, "description": "Needed with a token."},
    issued_so_far={
        "type": "boolean",
        "description": "Of a subject: only tokens issued until now, and in the leeway of its issuer.",
    },
    reason=_REASON,
    **{"for": _FOR},
)
