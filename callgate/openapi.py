"""What /openapi.json says of every door: who asks is told by a bearer token, and every error is a problem document."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

Document = dict[str, Any]

_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})
_TOLD: Final = "4XX"
SECURITY: Final[Document] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of an issuer under `identity.issuers`, for its `audience`.",
    }
}
PROBLEM_SCHEMA: Final[Document] = {
    "type": "object",
    "description": "RFC 9457. `code` is for programs, `detail` says what to do next; docs/codes.md lists the codes.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
}
PROBLEM_CONTENT: Final[Document] = {
    "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
}
_HEALTH: Final[Document] = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["status", "services"],
            "properties": {
                "status": {"enum": ["ok", "waiting"]},
                "services": {
                    "type": "object",
                    "description": "By service: `ok`, or the code of what it waits for.",
                    "additionalProperties": {"type": "string"},
                },
            },
        }
    }
}
HEALTH: Final[dict[int | str, Document]] = {
    200: {"description": "Every service of this process can do its work.", "content": _HEALTH},
    503: {"description": "One of them waits.", "content": _HEALTH},
}
METRICS: Final[dict[int | str, Document]] = {
    403: {"description": "Asked from elsewhere.", "content": PROBLEM_CONTENT},
}


class Answer(BaseModel):
    """The base of what doors answer, so that the document names every member. Later versions may add members."""

    model_config = ConfigDict(frozen=True)


def completed(document: Document) -> Document:
    """FastAPI's document, with what is true of each operation under /v1: its security and its errors. Its own schemas
    of errors go: nothing answers so."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    components["securitySchemes"] = SECURITY
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            if method in _METHODS and path.startswith("/v1/"):
                operation["security"] = [{"bearer": []}]
                responses = operation.setdefault("responses", {})
                responses.pop("422", None)
                responses.setdefault(
                    _TOLD, {"description": "A problem document; `code` says which.", "content": PROBLEM_CONTENT}
                )
                responses.setdefault(
                    "503", {"description": "Try again after `Retry-After` seconds.", "content": PROBLEM_CONTENT}
                )
    return document
