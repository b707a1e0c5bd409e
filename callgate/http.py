"""HTTP for every service: problem documents (RFC 9457), health and metrics, and no traceback to anybody."""

import functools
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from callgate import openapi
from callgate.errors import BrokerAway, CallgateError, Fatal, Retryable
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.identity.settings import is_loopback
from callgate.service import Service
from callgate.telemetry import REQUESTS, describe

logger = logging.getLogger("callgate.http")

PROBLEM = "application/problem+json"
TYPE_BASE = "https://callgate.dev/problems/"


class Problem(Exception):
    """An answer that is an error: `code` names its type, `detail` says what to do next; neither quotes input."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase

    def response(self) -> Response:
        body = {
            "type": TYPE_BASE + self.code,
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.extra,
        }
        # People read it where curl shows it, above their prompt.
        document = orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)
        return Response(document, self.status, self.headers, media_type=PROBLEM)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, dict(headers or {}), media_type="application/json")


def answer(document: openapi.Answer, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The document of an operation whose `response_model` it is."""
    return json_response(document.model_dump(mode="json"), status, headers)


def create_app(
    services: Iterable[Service],
    title: str = "Callgate",
    *,
    metrics_for_everyone: bool = False,
    on_fatal: Callable[[Fatal], None] = lambda _: None,
) -> FastAPI:
    """One application over the routes of the services of this process. Metrics are for this machine by default.

    `on_fatal` is told what no service may go on after.
    """
    hosted = tuple(services)
    app = _Described(title=title, docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    for service in hosted:
        for router in service.routers:
            app.include_router(router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(Unauthenticated, _unauthenticated)
    app.add_exception_handler(BrokerAway, _broker_away)
    app.add_exception_handler(Retryable, _later)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.state.routes = _routes_of(hosted)

    @app.get("/health", tags=["operations"], responses=openapi.HEALTH)
    async def health() -> Response:
        """Whether each service of this process can do its work."""
        waiting = {service.role.value: service.ready() for service in hosted}
        ready = not any(waiting.values())
        return json_response(
            {"status": "ok" if ready else "waiting", "services": {k: v or "ok" for k, v in waiting.items()}},
            200 if ready else 503,
        )

    @app.get("/metrics", tags=["operations"], response_class=PlainTextResponse, responses=openapi.METRICS)
    async def metrics(request: Request) -> Response:
        """Prometheus text exposition."""
        if not (metrics_for_everyone or _from_here(request)):
            raise Problem(403, "metrics_are_local", "Ask from its machine, or set `telemetry.metrics: everyone`.")
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    app.add_middleware(Guard, on_fatal=on_fatal, straight=_straight_of(hosted), errors=dict(app.exception_handlers))
    return app


class _Described(FastAPI):
    def openapi(self) -> dict[str, Any]:
        return self.openapi_schema or openapi.completed(super().openapi())


Endpoint = Callable[[Request], Awaitable[Response]]
E = TypeVar("E", bound=Endpoint)
_STRAIGHT = "__callgate_straight__"


def straight(endpoint: E) -> E:
    """Marks an endpoint that FastAPI describes and that is called without it: it reads the request itself, has no
    parameter in its path and answers with a Response. Errors become the same documents."""
    setattr(endpoint, _STRAIGHT, True)
    return endpoint


def _straight_of(services: Iterable[Service]) -> dict[tuple[str, str], Endpoint]:
    return {
        (method, route.path): route.endpoint
        for route in _routes_of(services)
        if getattr(route.endpoint, _STRAIGHT, False)
        for method in route.methods or ()
    }


def _routes_of(services: Iterable[Service]) -> list[APIRoute]:
    routes = (route for service in services for router in service.routers for route in router.routes)
    return [route for route in routes if isinstance(route, APIRoute)]


def _from_here(request: Request) -> bool:
    """Whether the peer is on loopback; where a proxy there speaks for another, the server takes the other's address."""
    return request.client is not None and is_loopback(request.client.host)


class Guard:
    """Counts requests, turns whatever escapes into a 500 without a text, and calls what is `straight` itself."""

    def __init__(
        self,
        app: ASGIApp,
        on_fatal: Callable[[Fatal], None],
        straight: Mapping[tuple[str, str], Endpoint],
        errors: Mapping[Any, Callable[..., Any]],
    ) -> None:
        self._app = app
        self._on_fatal = on_fatal
        self._straight = straight
        self._errors = errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        endpoint = self._straight.get((scope["method"], scope["path"])) if not scope.get("root_path") else None

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if endpoint is None:
                await self._app(scope, receive, watched)
            else:
                response = await self._answer(endpoint, Request(scope, receive, send))
                await response(scope, receive, watched)
        except Exception as error:
            logger.error("a request failed", extra={"error": describe(error)})
            if isinstance(error, Fatal):
                self._on_fatal(error)
            if not status:
                status = 500
                problem = Problem(500, "internal_error", "This is a fault of Callgate; its log says where.")
                await problem.response()(scope, receive, send)
        finally:
            path = scope["path"] if endpoint is not None else getattr(scope.get("route"), "path", "none")
            _requests(path, status).inc()

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            handler = next((self._errors[kind] for kind in type(error).__mro__ if kind in self._errors), None)
            if handler is None:
                raise
            response: Response = await handler(request, error)
            return response


@functools.cache
def _requests(path: str, status: int) -> Counter:
    return REQUESTS.labels("http", path, str(status))


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101
    return error.response()


async def _unauthenticated(_: Request, error: Exception) -> Response:
    assert isinstance(error, Unauthenticated)  # noqa: S101
    level = logging.INFO if error.code is Refusal.MISSING_TOKEN else logging.WARNING
    logger.log(level, "a request identifies nobody", extra={"code": error.code.value})
    return unauthenticated(error).response()


def unauthenticated(error: Unauthenticated) -> Problem:
    """What somebody is told who is nobody here."""
    detail = f"{error.detail[:1].upper()}{error.detail[1:]}."
    if error.status == 503:
        return Problem(503, error.code, detail, {"Retry-After": "5"})
    if error.code is not Refusal.MISSING_TOKEN:
        detail += " Send the header `Authorization: Bearer <token>` with a valid one."
    return Problem(error.status, error.code, detail, {"WWW-Authenticate": error.challenge})


async def _broker_away(_: Request, error: Exception) -> Response:
    detail = "The event log is out of reach; nothing was lost. Try again."
    if isinstance(error, CallgateError) and error.detail:
        detail = f"{detail} ({error.detail})"
    return Problem(503, "broker_away", detail, {"Retry-After": "2"}).response()


async def _later(_: Request, error: Exception) -> Response:
    assert isinstance(error, Retryable)  # noqa: S101
    return Problem(503, error.code, "This cannot be done now; try again.", {"Retry-After": "2"}).response()


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    places = [{"at": "/".join(map(str, e["loc"])), "problem": e["type"]} for e in error.errors()]
    detail = "The request does not have the shape that /openapi.json describes."
    return Problem(422, "invalid_request", detail, extra={"errors": places}).response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 404:
        return Problem(404, "not_found", "There is nothing here; /openapi.json lists what is.").response()
    if error.status_code == 405:
        allowed = ", ".join(_methods_of(request)) or (error.headers or {}).get("Allow", "")
        return Problem(405, "method_not_allowed", f"This path takes {allowed} only.", {"Allow": allowed}).response()
    return Problem(error.status_code, "http_error", "", error.headers).response()


def _methods_of(request: Request) -> list[str]:
    """What the path of the request takes: its methods are routes of their own, and the framework names the first's."""
    routes: list[APIRoute] = request.app.state.routes
    matching = (route for route in routes if route.path_regex.match(request.scope["path"]))
    return sorted({method for route in matching for method in route.methods or ()})
