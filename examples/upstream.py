"""The demo upstream: a small payments, CRM and deployment API that counts what reaches it.

    UPSTREAM_TOKEN=secret python -m examples.upstream --port 8081 [--journal FILE]

Every route wants `Authorization: Bearer <token>`. For tests and the demo it also answers whoever reaches its
port (loopback by default) `GET /_health`, `GET /_seen` (counts and last requests), `POST /_test/behave`
(misbehave next time) and `POST /_test/reset`. `POST /echo` and `GET /ping` never enter FastAPI, so that a
benchmark of Callgate does not measure its upstream.
"""

import argparse
import asyncio
import base64
import hmac
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from examples.upstream_api import api
from examples.upstream_ledger import Behaviour, Ledger

_CUSTOMER = re.compile(r"/customers/[^/]+")
_PING = b'{"pong":true}'
_TOLD = ("accept", "accept-language", "content-type", "if-match", "if-none-match", "if-modified-since")
"""Headers whose values are remembered."""


class Upstream:
    """The ASGI application: authenticates, records, misbehaves when told to, and hands the rest to FastAPI."""

    def __init__(self, token: str, ledger: Ledger) -> None:
        if not token:
            raise ValueError("the upstream needs a token")
        self._authorization = b"Bearer " + token.encode()
        self._ledger = ledger
        self._api: ASGIApp = api()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._api(scope, receive, send)
        elif scope["path"].startswith("/_"):
            await self._control(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await _read(receive)
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._authorization):
            self._ledger.refused += 1
            return await _answer(send, 401, b'{"detail":"unauthorized"}')
        path = scope["path"]
        # `/customers/export` is a route of its own for POST; under GET it is a customer who does not exist.
        is_customer = scope["method"] == "GET" and _CUSTOMER.fullmatch(path)
        route = f"{scope['method']} {'/customers/{id}' if is_customer else path}"
        key = headers[b"idempotency-key"].decode("latin-1") if b"idempotency-key" in headers else None
        self._ledger.arrive(route, key, _describe(scope, headers, body, key))
        behaviour = self._ledger.next_behaviour(route)
        if behaviour is not None and not behaviour.executes:
            return await _misbehave(behaviour, scope, receive, body, send)
        answer = await self._run(scope, receive, body)
        if answer[0]["status"] < 400:
            self._ledger.execute(route, key)
        if behaviour is None:
            for message in answer:
                await send(message)
            return None
        return await _misbehave(behaviour, scope, receive, body, send, answer)

    async def _run(self, scope: Scope, receive: Receive, body: bytes) -> list[Message]:
        """The answer, not sent yet: what is counted as executed is counted before its answer leaves."""
        if scope["path"] == "/echo":
            return _answer_of(200, body)
        if scope["path"] == "/ping":
            return _answer_of(200, _PING)
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        scope["upstream.serial"] = self._ledger.serial + 1
        await self._api(scope, _replay(body, receive), keep)
        return answer

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["method"], scope["path"]:
            case "GET", "/_seen":
                await _answer(send, 200, orjson.dumps(self._ledger.seen()))
            case "GET", "/_health":
                await _answer(send, 200, b'{"status":"ok"}')
            case "POST", "/_test/behave":
                try:
                    self._ledger.misbehave(Behaviour.model_validate_json(await _read(receive)))
                    await _answer(send, 200, b"{}")
                except ValidationError as error:
                    await _answer(send, 422, error.json().encode())
            case "POST", "/_test/reset":
                self._ledger.clear()
                await _answer(send, 200, b"{}")
            case _:
                await _answer(send, 404, b'{"detail":"not found"}')


async def _misbehave(
    behaviour: Behaviour, scope: Scope, receive: Receive, body: bytes, send: Send, executed: Sequence[Message] = ()
) -> None:
    match behaviour.mode:
        case "slow":
            if not await _gone(receive, behaviour.seconds):
                for message in executed:
                    await send(message)
        case "drop_before" | "drop_after":
            transport: asyncio.Transport = scope["upstream.transport"]
            transport.abort()
            await asyncio.sleep(0)  # lets the server see that its peer is gone, or it would answer 500
        case "status":
            await _answer(send, behaviour.status, b'{"detail":"told to fail"}')
        case "echo_error":
            detail = {"detail": f"invalid request: {body.decode(errors='replace')}"}
            await _answer(send, behaviour.status, orjson.dumps(detail))
        case "huge":
            await _answer(send, 200, b'{"filler":"' + b"x" * (behaviour.size - 13) + b'"}')
        case "redirect":
            await _answer(send, 307, b"{}", (b"location", behaviour.location.encode()))
        case "answer":
            headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in behaviour.headers]
            await send({"type": "http.response.start", "status": behaviour.status, "headers": headers})
            await send({"type": "http.response.body", "body": behaviour.text.encode()})


async def _gone(receive: Receive, seconds: float) -> bool:
    """Waits so long, or until nobody waits for the answer any more, which is what it then returns."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


def _describe(scope: Scope, headers: dict[bytes, bytes], body: bytes, key: str | None) -> dict[str, Any]:
    return {
        "path": scope["raw_path"].decode("latin-1"),
        "query": scope["query_string"].decode("latin-1"),
        "body": body.decode(errors="replace"),
        "body_base64": base64.b64encode(body).decode(),
        "idempotency_key": key,
        "authorization_last4": headers[b"authorization"][-4:].decode("latin-1"),
        "headers": sorted(name.decode("latin-1") for name in headers),
        "values": {name: headers[name.encode()].decode("latin-1") for name in _TOLD if name.encode() in headers},
        "traceparent": headers.get(b"traceparent", b"").decode("latin-1") or None,
    }


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read already, and then goes on with the real one."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


async def _answer(send: Send, status: int, body: bytes, *extra: tuple[bytes, bytes]) -> None:
    for message in _answer_of(status, body, *extra):
        await send(message)


def _answer_of(status: int, body: bytes, *extra: tuple[bytes, bytes]) -> list[Message]:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *extra]
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]


class _Protocol(HttpToolsProtocol):
    """Hands the transport to the application, which a real server never would: to cut connections off."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["upstream.transport"] = self.transport  # type: ignore[typeddict-unknown-key]


def server(token: str, ledger: Ledger) -> uvicorn.Server:
    """The server, not started: `await server(…).serve(sockets=[…])` runs it in the calling loop."""
    config = uvicorn.Config(
        Upstream(token, ledger),
        http=_Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=5,  # without it uvicorn waits for every open connection, for ever
    )
    return uvicorn.Server(config)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.upstream", description="The demo upstream.")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind; loopback unless in a container")
    parser.add_argument("--port", type=int, default=8081, help="0 takes any free port")
    parser.add_argument("--token-file", type=Path, help="the bearer token; otherwise the variable UPSTREAM_TOKEN")
    parser.add_argument("--journal", type=Path, help="append one line for each executed request")
    arguments = parser.parse_args()
    token = arguments.token_file.read_text().strip() if arguments.token_file else os.environ.get("UPSTREAM_TOKEN", "")
    if not token:
        parser.error("set UPSTREAM_TOKEN or give --token-file")
    listener = socket.create_server((arguments.host, arguments.port), backlog=1024)
    host, port = listener.getsockname()[:2]
    print(f"listening on http://{host}:{port}", flush=True)
    server(token, Ledger(arguments.journal)).run(sockets=[listener])


if __name__ == "__main__":
    main()
