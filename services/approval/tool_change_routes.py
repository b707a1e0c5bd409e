"""Held tools over HTTP: `GET /v1/functions/changes`, and `POST …/<function>/accept`."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response

from callgate.http import Problem, answer
from callgate.identity.authenticator import Authenticator
from callgate.openapi import Answer
from contracts.functions import ToolHints
from contracts.model import JsonValue
from contracts.tools import ToolDefinition
from services.approval.freeze_routes import Refusals, read_document
from services.approval.people import person_of
from services.approval.tool_changes import DefinitionChanged, ToolChange, ToolChanges, UnknownChange
from services.approval.tool_warnings import warnings_of

_PRIVATE = {"Cache-Control": "no-store"}


class DefinitionDocument(Answer):
    """A tool as its server describes it."""

    title: str | None
    description: str
    input: dict[str, JsonValue]
    output: dict[str, JsonValue] | None
    hints: ToolHints


class ChangeDocument(Answer):
    """A tool that is held until it is accepted."""

    function: str
    connection: str
    tool: str
    kind: Literal["new", "changed"]
    definition: str
    """What to send to accept exactly this."""
    now: DefinitionDocument
    was: DefinitionDocument | None
    """What was accepted before."""
    warnings: tuple[str, ...]
    """What is suspicious about it. None is no proof that all is well."""


class AcceptedDocument(ChangeDocument):
    """A tool that was accepted."""

    accepted: bool = True


class ChangeList(Answer):
    changes: tuple[ChangeDocument, ...]


def tool_change_routes(changes: ToolChanges, authenticator: Authenticator) -> APIRouter:
    router = APIRouter(prefix="/v1/functions/changes", tags=["functions"])

    @router.get(
        "", summary="The tools of MCP servers that are held, as far as you may accept them", response_model=ChangeList
    )
    async def listed(request: Request) -> Response:
        person = await person_of(authenticator, request)
        with Refusals():
            held = await changes.listed(person)
        return answer(ChangeList(changes=tuple(ChangeDocument(**_members(one)) for one in held)), headers=_PRIVATE)

    @router.post("/{function}/accept", summary="Accept a tool as it is now", response_model=AcceptedDocument)
    async def accept(
        request: Request, function: Annotated[str, Path(description="Its full name, e.g. notes.search.")]
    ) -> Response:
        person = await person_of(authenticator, request)
        definition = _definition_in(await read_document(request))
        problem: Problem
        try:
            with Refusals():
                change = await changes.accept(person, function, definition)
            return answer(AcceptedDocument(**_members(change)), headers=_PRIVATE)
        except UnknownChange:
            problem = Problem(404, "not_held", "No such function is held; GET /v1/functions/changes lists them.")
        except DefinitionChanged:
            problem = Problem(409, "definition_changed", "The tool is described otherwise by now; look at it again.")
        raise problem

    return router


def _definition_in(document: JsonValue) -> str:
    definition = document.get("definition") if isinstance(document, dict) and set(document) == {"definition"} else None
    if not isinstance(definition, str):
        raise Problem(422, "bad_definition", "Send `definition`: the digest of what you saw, and nothing else.")
    return definition


def _members(change: ToolChange) -> dict[str, Any]:
    return {
        "function": change.function.name,
        "connection": change.function.connection,
        "tool": change.now.tool,
        "kind": "new" if change.was is None else "changed",
        "definition": change.now.digest,
        "now": _shown(change.now),
        "was": _shown(change.was) if change.was is not None else None,
        "warnings": warnings_of(change.now, change.was),
    }


def _shown(definition: ToolDefinition) -> DefinitionDocument:
    return DefinitionDocument(
        title=definition.title,
        description=definition.description,
        input=definition.input,
        output=definition.output,
        hints=definition.hints,
    )
