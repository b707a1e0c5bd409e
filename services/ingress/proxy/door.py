"""The door at `/proxy/<connection>/…`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from callgate.http import Problem
from callgate.http_mapping.errors import MappingError
from callgate.http_mapping.reading import RequestReader
from callgate.http_mapping.received import Received
from callgate.http_mapping.routes import Routes
from callgate.identity.authenticator import Authenticator
from callgate.ingress_settings import IngressSettings
from callgate.jsontext import dump
from contracts.functions import Connection, FunctionSpec, HttpConnection
from contracts.lifecycle import WAITING_FOR_PEOPLE
from services.ingress.domain import CallRequest, is_answered
from services.ingress.doors import FrontDesk
from services.ingress.headers import traceparent_of, wait_of
from services.ingress.intake import bounded_body, caller, in_thread_if_long, key_of, named_session
from services.ingress.leaving import Leaving
from services.ingress.proxy.answering import CALL_HEADER, about, once_only, refused, shown, waits
from services.ingress.proxy.receiving import (
    PREFIX,
    Target,
    check_connection,
    check_head,
    problem_of,
    received_of,
    target_of,
)

METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
"""OPTIONS is no function's: its answer names the methods that a path has."""
_NAMED: Final = 50
"""Routes that an answer names."""


@dataclass(frozen=True, slots=True)
class _Served:
    """A connection as the proxy serves it."""

    routes: Routes
    functions: Mapping[str, FunctionSpec]
    readers: Mapping[str, RequestReader]


class ProxyDoor:
    def __init__(
        self,
        desk: FrontDesk,
        authenticator: Authenticator,
        connections: Mapping[str, Connection],
        settings: IngressSettings,
    ) -> None:
        self._desk = desk
        self._authenticator = authenticator
        self._settings = settings
        self._served = {
            name: _Served(
                Routes(one.functions),
                one.functions,
                {function: RequestReader(spec) for function, spec in one.functions.items()},
            )
            for name, one in connections.items()
            if isinstance(one, HttpConnection) and one.proxy is not None
        }

    def router(self) -> APIRouter:
        """Not in the OpenAPI document: what is here is the functions' own API, not ours."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route(f"{PREFIX}{{target:path}}", self.answer, methods=METHODS)
        return router

    async def answer(self, request: Request) -> Response:
        principal = await caller(request, self._authenticator)
        self._desk.admit()
        check_connection(request.headers)
        target = target_of(request.scope["raw_path"], request.scope["query_string"])
        served, name = self._function(request.method, target)
        check_head(request.headers, served.functions[name])
        wait = wait_of(request.headers.getlist("prefer"), self._settings.wait, self._settings.max_wait)
        body = await bounded_body(request, self._settings.body_limit)
        received = received_of(target, request.headers, body)
        arguments = await in_thread_if_long(len(body), lambda: self._arguments(served.readers[name], received))
        asked = CallRequest(
            f"{target.connection}.{name}",
            arguments,
            session=named_session(request),
            key=key_of(request),
            received=received.encode(),
            default_session=_session_of(request),
        )
        trace = traceparent_of(request.headers.getlist("traceparent"))
        try:
            call = await self._desk.submit(principal, asked, wait.seconds, Leaving(request), trace)
        except Problem as problem:
            if "id" in problem.extra:  # it may have been recorded
                problem.headers[CALL_HEADER] = problem.extra["id"]
                raise (problem if asked.key is not None else once_only(problem)) from None
            raise
        try:
            if is_answered(call) and call.status == "completed":
                return shown(call, await self._desk.answered(call))
            document = await self._desk.outcome(call)
        except Problem as problem:
            problem.headers |= about(call)
            raise (problem if asked.key is not None else once_only(problem)) from None
        if is_answered(call):
            raise refused(call, document)
        pause = 5 if call.state in WAITING_FOR_PEOPLE else 1
        raise waits(call, document, pause, keyed=asked.key is not None)

    def _function(self, method: str, target: Target) -> tuple[_Served, str]:
        """What is asked for. Problem 404 and 405, which name what there is."""
        served = self._served.get(target.connection)
        if served is None:
            names = sorted(self._served)
            detail = (
                "The proxy serves no such connection, but those of `connections`; the operator adds one by `proxy:`."
            )
            raise Problem(404, "no_such_connection", detail, extra={"connections": names})
        # A HEAD is answered as a GET is, without its body.
        name = served.routes.find("GET" if method == "HEAD" else method, target.path)
        if name is not None:
            return served, name
        offered: dict[str, Any] = {"routes": list(served.routes.offered[:_NAMED])}
        if methods := served.routes.methods(target.path):
            allowed = ", ".join(["HEAD", *methods] if "GET" in methods else methods)
            raise Problem(405, "no_such_method", f"This path takes {allowed} only.", {"Allow": allowed}, offered)
        detail = "No function has this path, and nothing else is let through; `routes` are those of this connection."
        raise Problem(404, "no_such_route", detail, extra=offered)

    def _arguments(self, reader: RequestReader, received: Received) -> bytes:
        try:
            return dump(reader.read(received, self._settings.depth_limit))
        except MappingError as error:
            problem = problem_of(error)
        raise problem


def _session_of(request: Request) -> str:
    """Requests that name no session are one by the token: a new one begins when an agent gets another."""
    token = request.headers.get("authorization", "")
    return f"proxy.{hashlib.sha256(token.encode()).hexdigest()[:32]}"
