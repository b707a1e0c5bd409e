"""Outcomes as results of `tools/call`. Pure."""

import contextlib
from collections.abc import Mapping
from typing import Any

from mcp_types import CallToolResult, TextContent
from pydantic import ValidationError

from callgate.http import Problem
from services.ingress.answers import answer_of, standing
from services.ingress.carried import is_carried
from services.ingress.refusals import call_in_doubt, detail_of, doubt_of, refusal_of

OUTCOME_TOOL, CANCEL_TOOL = "callgate_outcome", "callgate_cancel"
OWN_TOOLS = frozenset({OUTCOME_TOOL, CANCEL_TOOL})
"""Tools of the door's own. No function's tool can be called that: those have a hyphen."""
CALL_META = "dev.callgate/call"
_FOUND = ("findings", "header_findings", "withheld")
_KEPT = ("id", "session", "function", "status", "code", "policies", *_FOUND, "approvals")


def result_of(document: Mapping[str, Any]) -> CallToolResult:
    """The result of a call whose outcome is known. A denial is an error of the tool, which the model can act on."""
    answer = answer_of(document)
    if is_carried(document.get("result") or {}, answer.body):
        with contextlib.suppress(ValidationError):  # masking may have written words where MCP wants something else
            return _as_it_was(answer.body, answer.notes, document)
    texts = [answer.text, *([answer.notes] if answer.notes else [])]
    if answer.has_body:
        structured = answer.body if isinstance(answer.body, dict) else {"result": answer.body}
    elif document["status"] == "completed" and "withheld" not in document:
        structured = {"result": answer.text}
    else:
        structured = {"callgate": told_of(document)}
    return _result(texts, structured, document, answer.is_error)


def _as_it_was(body: dict[str, Any], notes: str | None, document: Mapping[str, Any]) -> CallToolResult:
    """Another MCP server's own result, masked, with our word on the masking after it. ValidationError."""
    told = [*body["content"], *([{"type": "text", "text": notes}] if notes else [])]
    return CallToolResult.model_validate({**body, "content": told, "_meta": {CALL_META: told_of(document)}})


def pending_of(document: Mapping[str, Any], tool: str, hold: float) -> CallToolResult:
    """The result of a call that has no answer yet: how it stands, and how to get the answer."""
    again = "make the call again" if tool in OWN_TOOLS else f"call {tool} again for it"
    text = (
        f"This call is recorded and has no answer yet: {standing(document)}. It goes on by itself; do not {again}. "
        f"For its answer call {_with(OUTCOME_TOOL, document['id'])}, which waits "
        f"up to {hold:.0f} seconds each time. {CANCEL_TOOL} withdraws it while it has not begun."
    )
    return _result([text], {"callgate": told_of(document)}, document, is_error=False)


def refused(problem: Problem) -> CallToolResult:
    """The result of a call that was not taken, or of which it is not known whether it was."""
    call_id = call_in_doubt(problem)
    if call_id is None:
        return _error(refusal_of(problem), problem)
    return _error(f"{doubt_of(problem)} Call {_with(OUTCOME_TOOL, call_id)} before you call again.", problem)


def refused_about(tool: str, problem: Problem, call_id: str | None) -> CallToolResult:
    """The result of one of the door's own tools that came to nothing. The call that it was about stands all the same,
    and runs or ran: a model that takes it for not run makes it twice."""
    what = "Not withdrawn" if tool == CANCEL_TOOL else "No answer"
    following = ""
    if problem.status == 503:
        unknown = "It is not known whether the call was withdrawn"
        what = unknown if tool == CANCEL_TOOL else "The answer cannot be told now"
        following = f"Do not make the call again; call {_with(tool, call_id)} in a moment."
    elif problem.code == "too_late":
        following = f"Do not make the call again; call {_with(OUTCOME_TOOL, call_id)} for its answer."
    return _error(f"{what} ({problem.code}). {detail_of(problem)} {following}".rstrip(), problem)


def _with(tool: str, call_id: str | None) -> str:
    return f'{tool} with {{"call_id": "{call_id}"}}'


def _error(text: str, problem: Problem) -> CallToolResult:
    told = {"code": problem.code, "detail": detail_of(problem), **problem.extra}
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content={"callgate": told}, is_error=True
    )


def is_withdrawn(result: Any) -> bool:
    """Whether a result says of its call that it was withdrawn before it began."""
    meta = result.meta if isinstance(result, CallToolResult) else None
    return meta is not None and dict(meta).get(CALL_META, {}).get("status") == "cancelled"


def told_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """What programs are told of a call beside the function's own answer."""
    return {name: document[name] for name in _KEPT if name in document}


def _result(
    texts: list[str], structured: dict[str, Any], document: Mapping[str, Any], is_error: bool
) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(type="text", text=text) for text in texts],
        structured_content=structured,
        is_error=is_error,
        _meta={CALL_META: told_of(document)},
    )
