"""The HTTP runner against servers that misbehave on the wire: at most one request, and the right word for it."""

import asyncio
import datetime
import gzip
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.executor.credentials import CredentialHeader, Secret
from services.executor.http import HttpRunner
from services.executor.outcomes import Completed, NotSent, Outcome, Unknown
from services.executor.request import HttpRequest

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
METHODS = ["GET", "PUT", "DELETE", "POST", "PATCH"]


class Wire:
    """A raw server: `serve` is called for each request with its number (from 1) and the connection's writer.

    `requests` holds every head and body that arrived, whole; `received` every byte; `finished` is set when a
    connection has ended on the server's side.
    """

    def __init__(self, serve: Callable[[int, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._serve = serve
        self.requests: list[bytes] = []
        self.received = b""
        self.arrived = asyncio.Event()
        self.finished = asyncio.Event()
        self.connections = 0
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.received += head
                length = next((int(v) for k, v in _fields(head) if k == "content-length"), 0)
                body = await reader.readexactly(length)
                self.received += body
                self.requests.append(head + body)
                self.arrived.set()
                await self._serve(len(self.requests), writer)
        except asyncio.IncompleteReadError as error:
            self.received += error.partial
        except ConnectionError:
            pass
        finally:
            writer.close()
            self.finished.set()


def _fields(head: bytes) -> list[tuple[str, str]]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return [(k.lower(), v) for k, _, v in (line.partition(": ") for line in lines) if k]


@asynccontextmanager
async def wire(
    serve: Callable[[int, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Wire]:
    handler = Wire(serve)
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls)
    handler.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield handler
    finally:
        server.close()


def answering(data: bytes, *, close: bool = False) -> Callable[[int, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    return serve


async def silent(_: int, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@pytest.fixture
async def runner() -> AsyncIterator[HttpRunner]:
    async with HttpRunner() as started:
        yield started


async def run(
    runner: HttpRunner,
    url: str,
    method: str = "POST",
    body: bytes | None = b"{}",
    *,
    deadline: float = 10.0,
    limit: int = 10_000,
    credential: CredentialHeader | None = None,
    key: str = "k1",
    traceparent: str | None = None,
) -> Outcome:
    headers = (("Accept", "application/json"), *((("Content-Type", "application/json"),) if body is not None else ()))
    return await runner.run(
        HttpRequest(method, url, headers, body),
        credential=credential,
        idempotency_key=key,
        deadline_seconds=deadline,
        response_limit=limit,
        traceparent=traceparent,
    )


async def test_what_is_on_the_wire(runner: HttpRunner) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with wire(answering(OK)) as server:
        outcome = await run(
            runner,
            f"{server.url}/a%2Fb/..%2e/%7E?q=a%20b&q=%2B",
            body=b'{"a":1}',
            credential=CredentialHeader("Authorization", Secret("Bearer t0ken")),
            key="s_1.0199",
            traceparent=traceparent,
        )
    assert isinstance(outcome, Completed)
    assert (outcome.status, outcome.content_type, outcome.body) == (200, "application/json", b"{}")
    assert not outcome.truncated
    assert outcome.duration_ms > 0
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a%2Fb/..%2e/%7E?q=a%20b&q=%2B HTTP/1.1\r\n")
    assert sorted(_fields(head)) == [
        ("accept", "application/json"),
        ("accept-encoding", "gzip"),
        ("authorization", "Bearer t0ken"),
        ("content-length", "7"),
        ("content-type", "application/json"),
        ("host", server.url.removeprefix("http://")),
        ("idempotency-key", "s_1.0199"),
        ("traceparent", traceparent),
        ("user-agent", "callgate"),
    ]
    assert body == b'{"a":1}'


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_no_body_is_no_body(runner: HttpRunner, method: str) -> None:
    async with wire(answering(OK)) as server:
        assert isinstance(await run(runner, server.url, method, None), Completed)
    names = {name for name, _ in _fields(server.requests[0])}
    assert names <= {"accept", "accept-encoding", "host", "idempotency-key", "user-agent", "content-length"}
    assert server.requests[0].endswith(b"\r\n\r\n")


async def test_keep_alive_and_a_large_body(runner: HttpRunner) -> None:
    body = b'{"x":"' + b"x" * 3_000_000 + b'"}'
    async with wire(answering(OK)) as server:
        assert isinstance(await run(runner, server.url, body=body), Completed)
        assert isinstance(await run(runner, server.url), Completed)
    assert server.connections == 1
    assert server.requests[0].endswith(body)


# Certainly not sent


async def test_connection_refused(runner: HttpRunner) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take it
        outcome = await run(runner, f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert outcome == NotSent("connection_refused")


async def test_unknown_host(runner: HttpRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    assert await run(runner, "http://upstream.invalid/") == NotSent("dns_failure")


@pytest.mark.parametrize("deadline", [0.0, -1.0, float("nan")])
async def test_deadline_that_has_passed(runner: HttpRunner, deadline: float) -> None:
    async with wire(answering(OK)) as server:
        assert await run(runner, server.url, deadline=deadline) == NotSent("deadline_passed")
    assert server.connections == 0


@pytest.mark.parametrize("bad", ["a\r\nX: y", "a\nb", "", "é", "a\0", " a", "x" * 3000])
async def test_header_values_that_are_none(runner: HttpRunner, bad: str) -> None:
    async with wire(answering(OK)) as server:
        assert await run(runner, server.url, key=bad) == NotSent("header_invalid")
        assert await run(runner, server.url, traceparent=bad) == NotSent("header_invalid")
    assert server.connections == 0


async def test_no_free_connection_within_the_deadline() -> None:
    async with HttpRunner(connections=1) as runner, wire(silent) as server:
        first = asyncio.create_task(run(runner, server.url))
        await server.arrived.wait()
        assert await run(runner, server.url, deadline=0.05) == NotSent("connect_timeout")
        assert len(server.requests) == 1
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_server_that_never_answers_the_tls_handshake(runner: HttpRunner) -> None:
    received = bytearray()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read())
        writer.close()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        outcome = await run(runner, f"https://127.0.0.1:{port}/secret-path", deadline=0.2)
    assert outcome == NotSent("connect_timeout")
    assert b"secret-path" not in received


async def test_server_that_speaks_no_tls(runner: HttpRunner) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(OK)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        outcome = await run(runner, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert isinstance(outcome, NotSent)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test upstream")])
    now = datetime.datetime.now(datetime.UTC)
    san = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
        now + datetime.timedelta(days=1)
    )
    built = builder.add_extension(san, critical=False).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path / "server.pem"
    file.write_bytes(pem + built.public_bytes(serialization.Encoding.PEM))
    return file


async def test_certificate_is_verified(runner: HttpRunner, certificate: Path) -> None:
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate)
    async with wire(answering(OK), tls=serving) as server:
        assert await run(runner, server.url) == NotSent("tls_failure")
        assert server.received == b""
        async with HttpRunner(tls=ssl.create_default_context(cafile=str(certificate))) as trusting:
            assert isinstance(await run(trusting, server.url), Completed)
            wrong_name = server.url.replace("127.0.0.1", "localhost")
            assert await run(trusting, wrong_name) == NotSent("tls_failure")
    assert len(server.requests) == 1


# Sent, and never again


async def _answer_once_then_close(number: int, writer: asyncio.StreamWriter) -> None:
    if number == 1:
        writer.write(OK)
        await writer.drain()
    else:
        writer.close()


@pytest.mark.parametrize("method", METHODS)
async def test_reused_connection_that_the_server_closes_is_not_tried_again(runner: HttpRunner, method: str) -> None:
    async with wire(_answer_once_then_close) as server:
        assert isinstance(await run(runner, server.url, method), Completed)
        assert await run(runner, server.url, method) == Unknown("disconnected")
    assert (len(server.requests), server.connections) == (2, 1)


@pytest.mark.parametrize(("method", "sent"), [("PUT", 3), ("POST", 2)])
async def test_bare_library_would_send_it_twice(method: str, sent: int) -> None:
    """What the test above is worth: aiohttp by itself repeats it. When this fails, aiohttp has changed."""
    async with wire(_answer_once_then_close) as server, aiohttp.ClientSession() as session:
        async with session.request(method, server.url, data=b"{}") as response:
            await response.read()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            async with session.request(method, server.url, data=b"{}"):
                pass
    assert len(server.requests) == sent


@pytest.mark.parametrize("method", METHODS)
async def test_reused_connection_that_is_reset_is_not_tried_again(runner: HttpRunner, method: str) -> None:
    async def serve(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            writer.write(OK)
            await writer.drain()
        else:
            writer.transport.abort()

    async with wire(serve) as server:
        assert isinstance(await run(runner, server.url, method), Completed)
        outcome = await run(runner, server.url, method)
    assert outcome in (Unknown("connection_reset"), Unknown("disconnected"))
    assert (len(server.requests), server.connections) == (2, 1)


@pytest.mark.parametrize("method", METHODS)
async def test_new_connection_that_is_closed_is_not_tried_again(runner: HttpRunner, method: str) -> None:
    async with wire(answering(b"", close=True)) as server:
        assert await run(runner, server.url, method) == Unknown("disconnected")
    assert (len(server.requests), server.connections) == (1, 1)


async def test_connection_closed_while_idle_is_not_used(runner: HttpRunner) -> None:
    async with wire(answering(OK, close=True)) as server:
        for _ in range(2):
            server.finished.clear()
            assert isinstance(await run(runner, server.url), Completed)
            await server.finished.wait()
            # The close is on its way to the client's socket before this loop runs again; let it be read.
            await asyncio.get_running_loop().run_in_executor(None, int)
    assert (len(server.requests), server.connections) == (2, 2)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 200 O", "disconnected"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "disconnected"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "response_cut"),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a"', "response_cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol_error"),
        (b"HTTP/1.1 abc\r\n\r\n", "protocol_error"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "protocol_error"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "protocol_error"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "protocol_error"),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "protocol_error"),
    ],
)
async def test_no_whole_answer_is_unknown(runner: HttpRunner, answer: bytes, code: str) -> None:
    async with wire(answering(answer, close=True)) as server:
        outcome = await run(runner, server.url)
    assert isinstance(outcome, Unknown)
    assert outcome.code == code
    assert len(server.requests) == 1


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
async def test_deadline_after_the_request_was_sent(runner: HttpRunner, part: bytes) -> None:
    async def serve(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(part)
        await writer.drain()

    async with wire(serve) as server:
        assert await run(runner, server.url, deadline=0.2) == Unknown("timeout")
        await server.finished.wait()  # and the connection is given up
    assert len(server.requests) == 1


async def test_trickling_body_ends_at_the_deadline(runner: HttpRunner) -> None:
    async def serve(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with wire(serve) as server:
        assert await run(runner, server.url, deadline=0.2, limit=2_000_000) == Unknown("timeout")


async def test_cancelling_gives_the_connection_up(runner: HttpRunner) -> None:
    async with wire(silent) as server:
        task = asyncio.create_task(run(runner, server.url))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await run(runner, server.url, deadline=0.05) == Unknown("timeout")
    assert (len(server.requests), server.connections) == (2, 2)


# Completed, within limits


@pytest.mark.parametrize(("size", "truncated"), [(9_999, False), (10_000, False), (10_001, True), (5_000_000, True)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_response_limit(runner: HttpRunner, size: int, truncated: bool, chunked: bool) -> None:
    body = b"x" * size
    framed = b"Content-Length: %d\r\n\r\n%s" % (size, body)
    if chunked:
        framed = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (size, body)
    async with wire(answering(b"HTTP/1.1 200 OK\r\n" + framed)) as server:
        outcome = await run(runner, server.url)
        assert isinstance(outcome, Completed)
        assert (outcome.body, outcome.truncated) == (body[:10_000], truncated)
        assert isinstance(await run(runner, server.url), Completed)
    # What had arrived whole leaves a usable connection; otherwise the rest is not read for its sake.
    assert server.connections == (2 if size > 1_000_000 else 1)


async def test_endless_body_is_cut_at_the_limit_and_not_read_on(runner: HttpRunner) -> None:
    async def serve(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()

    async with wire(serve) as server:
        outcome = await run(runner, server.url)
        await server.finished.wait()
    assert isinstance(outcome, Completed)
    assert (len(outcome.body), outcome.truncated) == (10_000, True)


async def test_gzip_bomb(runner: HttpRunner) -> None:
    bomb = gzip.compress(bytes(100_000_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    async with wire(answering(head + bomb)) as server:
        outcome = await run(runner, server.url)
    assert isinstance(outcome, Completed)
    assert (outcome.body, outcome.truncated) == (bytes(10_000), True)


async def test_gzip(runner: HttpRunner) -> None:
    packed = gzip.compress(b'{"a":1}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with wire(answering(head + packed)) as server:
        outcome = await run(runner, server.url)
    assert isinstance(outcome, Completed)
    assert (outcome.content_type, outcome.body, outcome.truncated) == ("", b'{"a":1}', False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_the_answer(runner: HttpRunner, status: int) -> None:
    async with wire(answering(OK)) as elsewhere:
        redirect = b"HTTP/1.1 %d Moved\r\nLocation: %s/x\r\nContent-Length: 0\r\n\r\n" % (
            status,
            elsewhere.url.encode(),
        )
        async with wire(answering(redirect)) as server:
            outcome = await run(runner, server.url, "GET", None)
    assert isinstance(outcome, Completed)
    assert outcome.status == status
    assert (len(server.requests), elsewhere.connections) == (1, 0)


async def test_cookies_are_not_kept(runner: HttpRunner) -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with wire(answering(answer)) as server:
        for _ in range(2):
            assert isinstance(await run(runner, server.url), Completed)
    assert len(server.requests) == 2
    assert b"ookie" not in server.received


async def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with wire(answering(OK)) as proxy, wire(answering(OK)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with HttpRunner() as runner:
            assert isinstance(await run(runner, server.url), Completed)
    assert (len(server.requests), proxy.connections) == (1, 0)
    assert b"uthorization" not in server.received


async def test_answer_that_was_not_asked_for_is_given_to_nobody(runner: HttpRunner) -> None:
    """A second response behind the first would answer the next call, maybe another agent's."""
    forged = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"x":66}'

    async def serve(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + forged if number == 1 else OK)
        await writer.drain()

    async with wire(serve) as server:
        for _ in range(2):
            outcome = await run(runner, server.url)
            assert isinstance(outcome, Completed)
            assert outcome.body == b"{}"
    assert (len(server.requests), server.connections) == (2, 2)


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("Application/JSON", "application/json"),
        ('application/json;charset="UTF-8"', "application/json; charset=utf-8"),
        ("application/problem+json; charset=latin1; q=1", "application/problem+json; charset=iso8859-1"),
        ("application/vnd.github.v3+json; version=4000001234567899", "application/vnd.github.v3+json"),
        ("text/html; charset=4000001234567899", "text/html"),
        ("text/4000001234567899", ""),
        ("text/x-4000001234567899", ""),
        ("someone@example.com", ""),
        ("", ""),
    ],
)
async def test_content_type_holds_no_value(runner: HttpRunner, header: str, kept: str) -> None:
    async with wire(answering(OK.replace(b"application/json", header.encode()))) as server:
        outcome = await run(runner, server.url)
    assert isinstance(outcome, Completed)
    assert outcome.content_type == kept


async def test_outcomes_show_no_raw_value(runner: HttpRunner) -> None:
    async with wire(answering(OK.replace(b"{}", b"42"))) as server:
        assert "42" not in repr(await run(runner, server.url)).partition("duration_ms")[0]
