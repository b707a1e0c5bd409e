"""The doors for tool loops: the functions, also as a model's tools, and a model's tool calls, run as they come."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request, Response

from callgate.catalog import Derived
from callgate.errors import BrokerAway
from callgate.http import Problem, json_response, straight
from callgate.identity.authenticator import Authenticator
from callgate.ids import uuid7
from callgate.ingress_settings import IngressSettings
from contracts.functions import Catalog
from contracts.identity import Principal
from services.ingress.answers import answer_of, standing
from services.ingress.domain import CallRequest, functions_of, is_answered
from services.ingress.doors import FrontDesk, problems
from services.ingress.headers import Wait, traceparent_of, wait_of
from services.ingress.intake import caller, in_thread_if_long, json_body, key_of, named_session
from services.ingress.leaving import Leaving
from services.ingress.openapi import LIST, TOOL_CALLS
from services.ingress.permitted import Permitted
from services.ingress.refusals import TELL, call_in_doubt, doubt_of, refusal_of
from services.ingress.tool_formats import Asked, Format, Told, ToolCall, ToolCalls, asked_in, tools_in
from services.ingress.tools import Tools, description_of

_PRIVATE: Final = {"Cache-Control": "no-store"}


def tool_routes(
    desk: FrontDesk,
    authenticator: Authenticator,
    catalog: Catalog,
    permitted: Permitted,
    settings: IngressSettings,
) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["calls"])
    functions = Derived(catalog, lambda known: orjson.dumps({"functions": functions_of(known)}))
    tools = permitted.tools

    @router.get("/functions", responses=LIST)
    async def list_functions(
        request: Request,
        format: Annotated[
            Format | None, Query(description="As the `tools` of a model's API, those that you might be allowed.")
        ] = None,
    ) -> Response:
        """The functions that may be asked for; whether one may run is the policy's to say."""
        principal = await caller(request, authenticator)
        if format is None:
            return Response(functions(), media_type="application/json")
        names, by_name = await permitted.names(principal), tools.by_name
        found = ((name, by_name[name]) for name in names if name in by_name)
        described = (
            (name, one, description_of(one, catalog.connections[one.connection].description)) for name, one in found
        )
        return json_response({"tools": tools_in(format, described)})

    async def run(request: Request, kind: ToolCalls) -> Response:
        principal = await caller(request, authenticator)
        desk.admit()
        wait = wait_of(request.headers.getlist("prefer"), settings.wait, settings.max_wait)
        body = await json_body(request, settings.body_limit)
        with problems():
            asked = await in_thread_if_long(len(body), lambda: asked_in(kind, body, settings.depth_limit))
        return await _Loop(desk, tools, principal, request, wait).answer(asked)

    @router.post("/tool-calls/openai", openapi_extra=TOOL_CALLS["openai"])
    @straight
    async def openai(request: Request) -> Response:
        """Run the tool calls of an answer of Chat Completions or Responses; gives the messages or items to append."""
        return await run(request, "openai")

    @router.post("/tool-calls/anthropic", openapi_extra=TOOL_CALLS["anthropic"])
    @straight
    async def anthropic(request: Request) -> Response:
        """Run the `tool_use` blocks of an answer of the Messages API; gives the message to append."""
        return await run(request, "anthropic")

    return router


class _Loop:
    """One request: several calls of one principal, in one session, waited for together."""

    def __init__(self, desk: FrontDesk, tools: Tools, principal: Principal, request: Request, wait: Wait) -> None:
        self._desk = desk
        self._tools = tools
        self._principal = principal
        self._gone = Leaving(request)
        self._wait = wait
        self._key = key_of(request)
        self._session = named_session(request)
        self._default_session = _session_named_for(self._key)
        self._trace = traceparent_of(request.headers.getlist("traceparent"))

    async def answer(self, asked: Asked) -> Response:
        """200 with an answer for each call, or 202 while one of them waits: the same request again, under its key,
        waits on. Problem where none of them could be taken now."""
        ran = await asyncio.gather(*(self._run(call) for call in asked.calls))
        put_off = [one.put_off for one in ran if one.put_off is not None]
        if len(put_off) == len(ran):
            raise put_off[0]
        session = next((one.document["session"] for one in ran if one.document is not None), None)
        body = {
            "messages": asked.written([one.told for one in ran]),
            "session": session,
            "calls": [
                {"tool_call": one.told.id, "id": one.document["id"], "status": one.document["status"]}
                for one in ran
                if one.document is not None
            ],
        }
        headers = _PRIVATE | ({"Preference-Applied": self._wait.applied} if self._wait.applied else {})
        if all(one.answered for one in ran):
            return json_response(body, headers=headers)
        return json_response(body, 202, headers | {"Retry-After": "5"})

    async def _run(self, call: ToolCall) -> "_Ran":
        function = self._tools.by_name.get(call.name)
        if function is None:
            return _Ran(Told(call.id, f"Not run: there is no tool {call.name!r}.", is_error=True))
        if call.arguments is None:
            text = "Not run: the arguments are no JSON object. Write them anew and call again."
            return _Ran(Told(call.id, text, is_error=True))
        key = None if self._key is None else f"{self._key}\0{call.id}"
        request = CallRequest(function.name, call.arguments, self._session, key, default_session=self._default_session)
        try:
            stands = await self._desk.submit(self._principal, request, self._wait.seconds, self._gone, self._trace)
            document = await self._desk.outcome(stands)
        except Problem as problem:
            return self._refused(call, problem)
        except BrokerAway:
            detail = "The event log is out of reach; nothing was recorded."
            return self._refused(call, Problem(503, "broker_away", detail, {"Retry-After": "2"}))
        if is_answered(stands):
            answer = answer_of(document)
            text = "\n\n".join(part for part in (answer.text, answer.notes) if part)
            return _Ran(Told(call.id, text, answer.is_error), document)
        text = (
            f"This call is recorded and has no answer yet: {standing(document)}. It goes on by itself; do not make it "
            f"again. Call id: {document['id']}."
        )
        return _Ran(Told(call.id, text, is_error=False), document, answered=False)

    def _refused(self, call: ToolCall, problem: Problem) -> "_Ran":
        """What passes by itself is put off where there is a key: the whole request can be sent again then, and nothing
        of it runs twice. Without one the model is told, since others of its calls may have run."""
        told = Told(call.id, _refused(problem), is_error=True)
        if self._key is not None and problem.status in (429, 503):
            return _Ran(told, answered=False, put_off=problem)
        return _Ran(told)


@dataclass(frozen=True, slots=True)
class _Ran:
    """What came of one tool call; `document` is its outcome's, where it was recorded."""

    told: Told
    document: dict[str, Any] | None = None
    answered: bool = True
    put_off: Problem | None = None
    """Why it could not be taken now."""


def _refused(problem: Problem) -> str:
    """What a model is told, which has no way of its own to ask for the outcome of a call."""
    call_id = call_in_doubt(problem)
    if call_id is None:
        return refusal_of(problem)
    return f"{doubt_of(problem)} Do not make it again. {TELL} Call id: {call_id}."


def _session_named_for(key: str | None) -> str:
    """The calls of one request are one session, also where it names none and is sent again."""
    return f"tools-{hashlib.sha256(key.encode()).hexdigest()[:32] if key else uuid7()}"
