"""Runs services: subscribes their handlers, serves their routes, keeps what runs beside them, and stops cleanly."""

import asyncio
import contextlib
import errno
import gc
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import uvicorn
from faststream import AckPolicy
from nats.aio.msg import Msg

from callgate.addresses import host_and_port
from callgate.connections import Limits, limited
from callgate.delivery import Deliveries
from callgate.errors import ConfigurationError, Fatal
from callgate.files import allow_open_files
from callgate.http import create_app
from callgate.platform import Platform
from callgate.service import Service
from callgate.telemetry import describe
from contracts.subjects import deliver_subject

logger = logging.getLogger("callgate.host")

DRAIN_SECONDS = 10.0
OTHER_CONNECTIONS = 2_000
"""Of HTTP, beside those of calls that are held open."""
OTHER_FILES = 500
"""Open in a process beside its connections."""

Build = Callable[[Platform], Awaitable[Service]]


class Running:
    """One service at work."""

    def __init__(self, platform: Platform, service: Service, stop: Callable[[BaseException], None]) -> None:
        self.service = replace(service, ready=self._ready)
        self._own_ready = service.ready
        self._platform = platform
        self._stop = stop
        self._deliveries = Deliveries(
            service.role, platform.verifier, platform.tracer, platform.settings.broker.ack_wait, stop
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        if self.service.events:
            self._subscribe(deliver_subject(self.service.role), self._deliveries.on_events(self.service.events))
        for subject, handler in self.service.deliveries.items():
            self._subscribe(subject, self._deliveries.receiver(handler))
        await self._platform.broker.start()
        self._tasks = [asyncio.create_task(self._kept(self._deliveries.keep_alive))]
        following = (self._platform.catalog.follow,) if self._platform.catalog.changes else ()
        self._tasks += [asyncio.create_task(self._kept(task)) for task in (*following, *self.service.background)]

    def _ready(self) -> str | None:
        """No service does its work without the broker, whatever else it waits for."""
        return self._own_ready() if self._platform.client.is_connected else "broker_away"

    def _subscribe(self, subject: str, receive: Callable[[Msg], Awaitable[None]]) -> None:
        subscriber = self._platform.broker.subscriber(
            subject,
            queue=self.service.role.value,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
        )
        subscriber(receive)
        # FastStream keeps the subscription. What it does with each message (a context, middlewares, parsing) would cost
        # an eighth of a worker's CPU, and nobody here reads it: what counts is verified from the bytes that came.
        subscriber.consume = receive  # type: ignore[method-assign,assignment]

    async def _kept(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
            self._stop(Fatal("background_ended", "a background task of the service ended"))
        except Exception as error:
            logger.error("a background task failed", extra={"service": self.service.role, "error": describe(error)})
            self._stop(error if isinstance(error, Fatal) else Fatal("background_failed", describe(error)))

    async def stop(self) -> None:
        for subscriber in self._platform.broker.subscribers:
            await subscriber.stop()
        await self._deliveries.drain(DRAIN_SECONDS)
        await _ended(self._tasks)
        if self.service.close is not None:
            await self.service.close()


def _spare_the_collector() -> None:
    """What lives as long as the process is not looked at again, and the young are looked at less often.

    By default the cyclic collector takes a tenth of a call's CPU, nearly all of it on modules and models that stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels tasks until they end: before Python 3.12 `asyncio.wait_for`, which libraries use, may swallow one."""
    pending = set(tasks)
    for _ in range(int(DRAIN_SECONDS)):
        if not pending:
            return
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1)
    if pending:
        logger.error("background tasks do not end; they are left", extra={"tasks": len(pending)})


class _Server(uvicorn.Server):
    """Signals are the command's business, not uvicorn's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


_BIND_REASONS = {
    errno.EADDRINUSE: "something listens there already (another Callgate?)",
    errno.EACCES: "this user may not use that port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def bind(listen: str, setting: str = "listen") -> socket.socket:
    """A listening socket for `host:port`. ConfigurationError, which names `setting`, for one that is taken or wrong."""
    try:
        host, port = host_and_port(listen)
    except ValueError as wrong:
        raise ConfigurationError("cannot_listen", f"{setting}: {wrong}") from None
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
        listener.setblocking(False)
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = _BIND_REASONS.get(getattr(error, "errno", None) or 0, "that host is not known")
        raise ConfigurationError(
            "cannot_listen", f"cannot listen on {listen}: {reason}; set {setting} to a free host:port"
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The base URL of what is served over HTTP on a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def serve_http(app: Any, listener: socket.socket, limits: Limits | None = None) -> AsyncIterator[str]:
    """Serves an ASGI application on a socket while the context lasts; gives its base URL."""
    config = uvicorn.Config(
        app,
        loop="none",
        http=limited(limits or Limits()),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn offers no event
            await asyncio.sleep(0.005)
        yield url_of(listener)
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)


def _limits(held: Iterable[int]) -> Limits:
    """Room for all calls that may be held open, and for others beside them."""
    limits = Limits(connections=max(held, default=0) + OTHER_CONNECTIONS)
    wanted = limits.connections + OTHER_FILES
    allowed = allow_open_files(wanted)
    if allowed < wanted:
        logger.warning(
            "this process may open fewer files than it may hold connections; raise its limit (ulimit -n)",
            extra={"files": allowed, "wanted": wanted},
        )
    return limits


@contextlib.asynccontextmanager
async def run_services(
    parts: Sequence[tuple[Platform, Build]], listener: socket.socket
) -> AsyncIterator[tuple[str, asyncio.Future[BaseException]]]:
    """Builds and runs services in this process, their routes on one socket.

    Gives the base URL, and a future that is done when something fatal happened.
    """
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def stop(error: BaseException) -> None:
        if not failed.done():
            failed.set_result(error)

    running: list[Running] = []
    try:
        for platform, build in parts:
            running.append(Running(platform, await build(platform), stop))
        open_metrics = any(platform.settings.telemetry.metrics == "everyone" for platform, _ in parts)
        app = create_app((one.service for one in running), metrics_for_everyone=open_metrics, on_fatal=stop)
        async with serve_http(app, listener, _limits(platform.settings.ingress.held for platform, _ in parts)) as url:
            for one in running:
                await one.start()
            _spare_the_collector()
            try:
                yield url, failed
            finally:
                logger.info("stopping")
                for one in running:
                    one.service.stopping()
    finally:
        for one in reversed(running):
            await one.stop()
