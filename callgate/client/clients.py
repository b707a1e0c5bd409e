"""`Client` and `AsyncClient`: the flows of `flows`, carried out over HTTP in a thread or on a loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2

from callgate.client import flows
from callgate.client.flows import Ask, Deadline, Flow, Pause, Reply, Step
from callgate.client.following import Following
from callgate.client.outcome import Event, Outcome
from callgate.client.tools import AsyncTools, Format, Tools, definitions_path
from callgate.errors import CallgateError

Token = str | Callable[[], str]
"""The bearer token, or what gives a fresh one for each request."""

_MARGIN: Final = 15.0
"""Seconds beyond its hold within which a request is answered."""


class _Base:
    """What both clients know: where Callgate is, who calls, and in which session."""

    def __init__(self, url: str, token: Token, session: str | None) -> None:
        self.url = _checked(url)
        self.session = session
        """The session that calls are made in: yours by name, or the one that the first call opened."""
        self._token = token

    def _body(self, function: str, arguments: Mapping[str, Any] | None) -> dict[str, Any]:
        body: dict[str, Any] = {"function": function, "arguments": dict(arguments or {})}
        return body | {"session": self.session} if self.session else body

    def _headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        token = self._token if isinstance(self._token, str) else self._token()
        return {"Authorization": f"Bearer {token}", "Accept": "application/json", **(more or {})}

    def _request(self, ask: Ask) -> dict[str, Any]:
        timeout = httpx2.Timeout(10.0, read=ask.hold + _MARGIN)
        body = {} if ask.body is None else {"json": ask.body}
        return {"headers": self._headers(ask.headers), "timeout": timeout, **body}

    def _kept(self, outcome: Outcome) -> Outcome:
        self.session = self.session or outcome.session
        return outcome

    def _events_request(self, following: Following) -> dict[str, Any]:
        # Callgate shows every fifteen seconds that such a stream lives.
        return {"headers": self._headers(following.headers), "timeout": httpx2.Timeout(10.0, read=60.0)}


def _checked(url: str) -> str:
    """The address, which others are joined to. CallgateError for what is none, or it would be taken for one that
    does not answer."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise CallgateError("bad_url", "Callgate's address must be http://host:port or https://host")
    return url.rstrip("/")


def _reply(response: httpx2.Response) -> Reply:
    try:
        document = response.json()
    except ValueError:
        document = None
    return Reply(response.status_code, document, response.headers)


def _deadline(timeout: float | None) -> Deadline:
    return Deadline(None if timeout is None else time.monotonic() + timeout, time.monotonic)


class Client(_Base):
    """Callgate at `url` for whoever holds `token`. Use it as a context manager, or `close` it.

    `session` names the session that the calls are made in; without it the first call opens one. Not for several
    threads at the same time, since they would share the session. CallgateError `bad_url` for a `url` without http://.
    """

    def __init__(
        self, url: str, token: Token, *, session: str | None = None, transport: httpx2.BaseTransport | None = None
    ) -> None:
        super().__init__(url, token, session)
        self._http = httpx2.Client(transport=transport, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def call(
        self,
        function: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> Outcome:
        """Has a function run, and waits for the outcome: for ever, or `timeout` seconds (then it may be unanswered).

        What happens to the network meanwhile runs nothing twice: the request carries an idempotency key, one of its own
        where none is given. Problem where Callgate refuses it, Unreachable.
        """
        key = idempotency_key or str(uuid4())
        return self._kept(self._run(flows.call(self.url, self._body(function, arguments), key, _deadline(timeout))))

    def submit(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> Outcome:
        """Has a function run, and waits for nothing. Problem, Unreachable."""
        return self.call(function, arguments, timeout=0, idempotency_key=idempotency_key)

    def wait(self, call: Outcome | str, *, timeout: float | None = None) -> Outcome:
        """The outcome of a call submitted before, by its id. Problem, Unreachable."""
        outcome: Outcome = self._run(flows.look(self.url, _id(call), _deadline(timeout)))
        return outcome

    def cancel(self, call: Outcome | str) -> Outcome:
        """Withdraws a call that has not begun. Problem `too_late`, Unreachable."""
        outcome: Outcome = self._run(flows.cancel(self.url, _id(call)))
        return outcome

    def calls(self, session: str | None = None) -> list[Outcome]:
        """The calls of a session, this client's where none is named, the latest last; without their results.

        Problem, Unreachable.
        """
        return list(self._run(flows.calls(self.url, session or self.session)))

    def functions(self) -> list[dict[str, Any]]:
        """What there is to call, with JSON Schemas. Problem, Unreachable."""
        return list(self._run(flows.asked(self.url, Ask("GET", "/v1/functions"))).document["functions"])

    def tools(self, format: Format) -> Tools:
        """The functions as a model's tools, and what runs the tool calls that it answers with."""
        found = self._run(flows.asked(self.url, Ask("GET", definitions_path(format)))).document["tools"]
        return Tools(format, found, self._run_tools)

    def _run_tools(
        self, format: Format, body: Mapping[str, Any], timeout: float | None, key: str | None
    ) -> list[dict[str, Any]]:
        flow = flows.tool_calls(self.url, format, body, self.session, key or str(uuid4()), _deadline(timeout))
        messages, self.session = self._run(flow)
        return list(messages)

    def events(self, call: Outcome | str) -> Iterator[Event]:
        """The events of a call, from its first to its last as they come; goes on after a lost connection.

        Problem, Unreachable.
        """
        following = Following(self.url, _id(call))
        while True:
            try:
                with self._http.sse(following.address, **self._events_request(following)) as source:
                    if source.response.status_code == 200:
                        following.opened()
                        yield from filter(None, map(following.event, source))
                    else:
                        source.response.read()
                        following.refused(_reply(source.response))
            except httpx2.TransportError:
                following.lost()
            if following.over:
                return
            time.sleep(following.pause)

    def _run(self, flow: Flow) -> Any:
        reply: Reply | None = None
        try:
            while True:
                reply = self._do(flow.send(reply))
        except StopIteration as end:
            return end.value

    def _do(self, step: Step) -> Reply | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            return _reply(self._http.request(step.method, self.url + step.path, **self._request(step)))
        except httpx2.TransportError:
            return None


class AsyncClient(_Base):
    """`Client` for asyncio: the same methods, awaited; any number of calls at the same time."""

    def __init__(
        self, url: str, token: Token, *, session: str | None = None, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        super().__init__(url, token, session)
        self._http = httpx2.AsyncClient(transport=transport, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def call(
        self,
        function: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # what is waited for goes on without us
        idempotency_key: str | None = None,
    ) -> Outcome:
        """As `Client.call`."""
        key = idempotency_key or str(uuid4())
        flow = flows.call(self.url, self._body(function, arguments), key, _deadline(timeout))
        return self._kept(await self._run(flow))

    async def submit(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
    ) -> Outcome:
        """As `Client.submit`."""
        return await self.call(function, arguments, timeout=0, idempotency_key=idempotency_key)

    async def wait(self, call: Outcome | str, *, timeout: float | None = None) -> Outcome:  # noqa: ASYNC109
        """As `Client.wait`."""
        outcome: Outcome = await self._run(flows.look(self.url, _id(call), _deadline(timeout)))
        return outcome

    async def cancel(self, call: Outcome | str) -> Outcome:
        """As `Client.cancel`."""
        outcome: Outcome = await self._run(flows.cancel(self.url, _id(call)))
        return outcome

    async def calls(self, session: str | None = None) -> list[Outcome]:
        """As `Client.calls`."""
        return list(await self._run(flows.calls(self.url, session or self.session)))

    async def functions(self) -> list[dict[str, Any]]:
        """As `Client.functions`."""
        return list((await self._run(flows.asked(self.url, Ask("GET", "/v1/functions")))).document["functions"])

    async def tools(self, format: Format) -> AsyncTools:
        """As `Client.tools`."""
        reply = await self._run(flows.asked(self.url, Ask("GET", definitions_path(format))))
        return AsyncTools(format, reply.document["tools"], self._run_tools)

    async def _run_tools(
        self,
        format: Format,
        body: Mapping[str, Any],
        timeout: float | None,  # noqa: ASYNC109
        key: str | None,
    ) -> list[dict[str, Any]]:
        flow = flows.tool_calls(self.url, format, body, self.session, key or str(uuid4()), _deadline(timeout))
        messages, self.session = await self._run(flow)
        return list(messages)

    async def events(self, call: Outcome | str) -> AsyncIterator[Event]:
        """As `Client.events`."""
        following = Following(self.url, _id(call))
        while True:
            try:
                async with self._http.sse(following.address, **self._events_request(following)) as source:
                    if source.response.status_code == 200:
                        following.opened()
                        async for sent in source:
                            event = following.event(sent)
                            if event is not None:
                                yield event
                    else:
                        await source.response.aread()
                        following.refused(_reply(source.response))
            except httpx2.TransportError:
                following.lost()
            if following.over:
                return
            await asyncio.sleep(following.pause)

    async def _run(self, flow: Flow) -> Any:
        reply: Reply | None = None
        try:
            while True:
                reply = await self._do(flow.send(reply))
        except StopIteration as end:
            return end.value

    async def _do(self, step: Step) -> Reply | None:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return _reply(await self._http.request(step.method, self.url + step.path, **self._request(step)))
        except httpx2.TransportError:
            return None


def _id(call: Outcome | str) -> str:
    return call if isinstance(call, str) else call.id
