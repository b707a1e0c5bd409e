"""Requests that two parsers could read in two ways, over raw sockets: each is refused, none is recorded or sent on."""

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from governed_scene import CARD, Governed, governed
from proxy_scene import AGENT

from callgate.log import reading

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHUNKED, OVERRIDE, TRANSFERS = "Transfer-Encoding: chunked", "X-HTTP-Method-Override: DELETE", "/accounts/a1/transfers"
IN_CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
UPGRADE = "upgrade_unsupported"
FORM, MERGE = "application/x-www-form-urlencoded", "application/merge-patch+json"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Governed]:
    async with governed(tmp_path_factory.mktemp("attacks"), ingress={"body_limit": 100_000}) as running:
        yield running


async def send(scene: Governed, head: str, body: bytes = b"", length: int | None = None) -> tuple[int, str]:
    """The status and the code of the answer to these bytes: a request line, and headers beside our own."""
    first, *more = head.split("\r\n")
    lines = [first, "Host: callgate.test", f"Authorization: Bearer {scene.issuer.mint(AGENT)}", *filter(None, more)]
    if body and not any(line.lower().startswith("transfer-encoding") for line in more):
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    address = urlsplit(scene.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        await writer.drain()
        async with asyncio.timeout(20):
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            size = next(int(line[15:]) for line in answer.split("\r\n") if line.startswith("content-length:"))
            document = json.loads(await reader.readexactly(size))
        return int(answer.split()[1]), document["code"]
    finally:
        writer.close()


async def recorded(scene: Governed) -> int:
    """How many messages stand on the log."""
    (partition,) = scene.partitions
    return len(
        [message async for message in reading.direct_all(scene.audit.client, partition.stream, partition.all_calls)]
    )


def get(target: str, *headers: str) -> str:
    return "\r\n".join([f"GET /proxy/api{target} HTTP/1.1", *headers])


def post(content_type: str, *headers: str, target: str = "/customers/export", method: str = "POST") -> str:
    return "\r\n".join([f"{method} /proxy/api{target} HTTP/1.1", f"Content-Type: {content_type}", *headers])


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        # Paths
        (get("/customers/.."), 400, "dot_segment"),
        (get("/customers/%2e%2e"), 400, "dot_segment"),
        (get("/customers/.%2E"), 400, "dot_segment"),
        (get("/customers/a%2Fb"), 400, "encoded_slash"),
        (get("/customers/a%5cb"), 400, "encoded_slash"),
        (get("/customers/..%2f..%2f_seen"), 400, "dot_segment"),
        (get("/customers/%252e%252e"), 400, "path_malformed"),
        (get("/customers/c42;admin=1"), 400, "path_malformed"),
        (get("/customers/c42%3Badmin"), 200, ""),
        (get("/customers/c42%00"), 400, "not_utf8"),
        (get("/customers/c42%0dX:1"), 400, "path_malformed"),
        (get("/customers/c42%0d%0aX:1"), 404, "not_found"),
        (get("/customers/%c0%ae"), 400, "not_utf8"),
        (get("/customers/%"), 400, "path_malformed"),
        (get("//customers/c42"), 404, "no_such_route"),
        (get("/customers//c42"), 404, "no_such_route"),
        (get("/customers/c42/"), 404, "no_such_route"),
        (get("/../_seen"), 404, "no_such_route"),
        (get("/customers/../_seen"), 404, "no_such_route"),
        (get("/%63ustomers/c42"), 404, "no_such_route"),
        (get("/CUSTOMERS/c42"), 404, "no_such_route"),
        (get("/_seen"), 404, "no_such_route"),
        (get(""), 404, "no_such_route"),
        (get("/"), 404, "no_such_route"),
        ("GET /proxy/shop/customers/c42 HTTP/1.1", 404, "no_such_connection"),
        ("GET /proxy/../v1/functions HTTP/1.1", 404, "no_such_connection"),
        ("GET /proxy/%61pi/customers/c42 HTTP/1.1", 404, "no_such_connection"),
        ("GET /%70roxy/api/customers/c42 HTTP/1.1", 404, "no_such_connection"),
        ("GET /proxy//api/customers/c42 HTTP/1.1", 404, "no_such_connection"),
        ("GET http://evil.test/proxy/api/_seen HTTP/1.1", 404, "no_such_route"),
        # Queries
        (get("/search?q=1&q=2"), 400, "parameter_repeated"),
        (get("/search?q=1&%71=2"), 400, "parameter_repeated"),
        (get("/search?q=1;limit=2"), 400, "query_malformed"),
        (get("/search?q=1%3Blimit=2", "X: y"), 200, ""),
        (get("/search?q"), 400, "query_malformed"),
        (get("/search?limit=0x10"), 400, "parameter_mistyped"),
        (get("/search?limit=1e1"), 400, "parameter_mistyped"),
        (get("/search?either=1"), 400, "parameter_ambiguous"),
        (get("/search?Q=1"), 400, "parameter_unknown"),
        (get("/search?limit[]=1"), 400, "parameter_unknown"),
        (get("/search?_method=DELETE"), 400, "parameter_unknown"),
        (get("/search?q=%ff"), 400, "not_utf8"),
        (get("/search?q=%u0041"), 400, "query_malformed"),
        # Headers
        (get("/search", "If-Match: nonsense"), 400, "header_malformed"),
        (get("/search", 'If-Match: "a"', 'If-Match: "b"'), 400, "header_malformed"),
        (get("/search", "If-None-Match: " + '"' + "x" * 200 + '"'), 400, "header_malformed"),
        (get("/search", "If-Modified-Since: yesterday"), 400, "header_malformed"),
        (get("/search", "Accept: text/plain\x01"), 400, "malformed_request"),
        (get("/search", "Idempotency-Key: a", "Idempotency-Key: b"), 400, "bad_idempotency_key"),
        (get("/search", "Authorization: Bearer x"), 400, "several_credentials"),
        # The connection
        (get("/search", "Connection: If-None-Match", 'If-None-Match: "a"'), 400, "header_malformed"),
        (get("/search", "Connection: close, Authorization"), 400, "header_malformed"),
        (get("/search", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"), 501, UPGRADE),
        (get("/search?q=" + "x" * 40_000), 414, "target_too_long"),
        # Methods
        ("DELETE /proxy/api/customers/c42 HTTP/1.1", 405, "no_such_method"),
        ("OPTIONS /proxy/api/customers/c42 HTTP/1.1", 405, "no_such_method"),
        ("TRACE /proxy/api/customers/c42 HTTP/1.1", 405, "method_not_allowed"),
        ("CONNECT /proxy/api/customers/c42 HTTP/1.1", 405, "method_not_allowed"),
    ],
)  # fmt: skip
async def test_a_request_without_a_body(scene: Governed, head: str, status: int, code: str) -> None:
    before = sum(scene.ledger.arrived.values()), await recorded(scene)
    if status == 200:  # what is encoded is data, and is judged as such
        with pytest.raises(KeyError, match="code"):
            await send(scene, head)
        assert sum(scene.ledger.arrived.values()) == before[0] + 1
        return
    assert await send(scene, head) == (status, code)
    assert (sum(scene.ledger.arrived.values()), await recorded(scene)) == before


BODY = b'{"limit":1}'


@pytest.mark.parametrize(
    ("head", "body", "status", "code"),
    [
        (post("application/json"), b'{"limit":1,"limit":9}', 400, "malformed_json"),
        (post("application/json"), b'{"limit":1,"l\\u0069mit":9}', 400, "malformed_json"),
        (post("application/json"), b'{"limit":1,"Limit":9}', 400, "parameter_repeated"),
        (post("application/json"), b'\xef\xbb\xbf{"limit":1}', 400, "malformed_json"),
        (post("application/json"), '{"limit":1}'.encode("utf-16"), 400, "not_utf8"),
        (post("application/json"), b'{"limit":NaN}', 400, "malformed_json"),
        (post("application/json"), b'{"limit":1}{"limit":9}', 400, "malformed_json"),
        (post("application/json"), b"[" * 50_000, 400, "malformed_json"),
        (post("application/json"), b"[1]", 400, "body_not_an_object"),
        (post("application/json"), b'{"limit":1' + b"0" * 500 + b"}", 400, "malformed_json"),
        (post("application/json; charset=utf-16"), BODY, 415, "charset_unsupported"),
        (post("application/json; charset=utf-7"), BODY, 415, "charset_unsupported"),
        (post("application/json; charset=utf-8; charset=utf-16"), BODY, 415, "charset_unsupported"),
        (post("application/json, text/plain"), BODY, 415, "media_type_unsupported"),
        (post("application/json", "Content-Type: text/plain"), BODY, 415, "media_type_unsupported"),
        (post("text/plain"), BODY, 415, "media_type_unsupported"),
        (post(FORM), b"limit=1", 415, "media_type_unsupported"),
        (post("multipart/form-data; boundary=x"), b"--x\r\n\r\n1\r\n--x--", 415, "media_type_unsupported"),
        (post("application/octet-stream"), b"\x00\x01", 415, "media_type_unsupported"),
        (post("application/json", "Content-Encoding: gzip"), BODY, 415, "content_encoded"),
        (post("application/json", "Content-Encoding: identity, gzip"), BODY, 415, "content_encoded"),
        (post("application/json", "Content-Range: bytes 0-10/20"), BODY, 400, "content_range"),
        (post("application/json"), b'{"limit":"' + b"x" * 100_001 + b'"}', 413, "body_too_large"),
        (post("application/json", target="/search", method="GET"), BODY, 400, "body_unexpected"),
        (post("application/json", target="/notes/n1", method="DELETE"), BODY, 400, "body_unexpected"),
        (post("application/json", target=TRANSFERS), b'{"amount":1,"account":"b"}', 400, "parameter_repeated"),
        (post("application/json", target=TRANSFERS + "?amount=1"), b'{"amount":2}', 400, "parameter_unknown"),
        (post(FORM, target="/form"), b"q=1&q=2", 400, "parameter_repeated"),
        (post(FORM, target="/form"), b"q=1;q=2", 400, "form_malformed"),
        (post(FORM, target="/form"), b"q=\xff", 400, "not_utf8"),
        (post("text/plain", target="/text/t1"), b"\xff\xfea\x00", 400, "not_utf8"),
        (post("text/plain; charset=iso-8859-1", target="/text/t1"), b"\xe9", 415, "charset_unsupported"),
        (post(MERGE, target="/echo", method="PATCH"), b"null", 400, "body_not_an_object"),
        (post("application/json", OVERRIDE, target="/customers/c42"), BODY, 405, "no_such_method"),
        (post("application/json", CHUNKED, target="/search", method="GET"), IN_CHUNKS, 400, "body_unexpected"),
        (post("application/json", CHUNKED), b"4\r\n[1]\n\r\n0\r\n\r\n", 400, "body_not_an_object"),
        (post("application/json", CHUNKED, "Content-Length: 4"), IN_CHUNKS, 400, "malformed_request"),
        (post("application/json", CHUNKED + ";x"), IN_CHUNKS, 400, "malformed_request"),
        (post("application/json", "Content-Length: 11"), BODY, 400, "malformed_request"),
    ],
)  # fmt: skip
async def test_a_request_with_a_body(scene: Governed, head: str, body: bytes, status: int, code: str) -> None:
    before = sum(scene.ledger.arrived.values()), await recorded(scene)
    assert await send(scene, head, body) == (status, code)
    assert (sum(scene.ledger.arrived.values()), await recorded(scene)) == before


async def test_no_answer_quotes_what_it_refuses(scene: Governed) -> None:
    headers = {"Authorization": f"Bearer {scene.issuer.mint(AGENT)}", "Content-Type": "application/json"}
    for target in (f"search?{CARD}=1", f"customers/{CARD}%2F", f"{CARD}/x", f"search?limit={CARD}x"):
        async with scene.http.get(f"{scene.url}/proxy/api/{target}", headers=headers) as response:
            assert 400 <= response.status < 500
            assert CARD not in await response.text()
