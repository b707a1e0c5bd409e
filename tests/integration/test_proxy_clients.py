"""The proxy as real HTTP clients use it (curl, httpx, aiohttp): their habits, and what becomes of what they send."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest
import pytest_asyncio
from doors import bearer
from governed_scene import CARD, TOKEN, Governed, governed
from proxy_scene import AGENT, LOOK, SEARCH, answers, ask, seen, values

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXPORT = "POST /customers/export"
ALWAYS = {"accept", "accept-encoding", "api-version", "authorization", "host", "idempotency-key", "user-agent"}
"""The headers of every request that reaches the upstream, whatever the agent's had."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Governed]:
    async with governed(tmp_path_factory.mktemp("clients")) as running:
        yield running


async def curl(scene: Governed, target: str, *options: str) -> tuple[list[str], bytes]:
    """The status lines of all answers, and the last body."""
    command = ("curl", "-sS", "-i", "-m", "30", "-H", f"Authorization: {bearer(scene.issuer, AGENT)['Authorization']}")
    running = await asyncio.create_subprocess_exec(
        *command, *options, f"{scene.url}/proxy/api/{target}", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await running.communicate()
    assert running.returncode == 0
    lines: list[str] = []
    while output.startswith(b"HTTP/"):
        head, _, output = output.partition(b"\r\n\r\n")
        lines.append(head.split(b"\r\n")[0].decode())
    return lines, output


async def test_httpx_as_its_users_write(scene: Governed) -> None:
    async with httpx.AsyncClient(base_url=f"{scene.url}/proxy/api/", headers=bearer(scene.issuer, AGENT)) as client:
        await client.get("search", params={"q": "a b&c", "tag": ["x", "y"], "exact": True, "limit": 7})
        assert seen(scene, SEARCH) == ("/search", "q=a%20b%26c&tag=x&tag=y&exact=true&limit=7", b"")
        exported = await client.post("customers/export", json={"limit": 1})
        assert (exported.status_code, exported.json()["exported"]) == (200, 1)
        assert seen(scene, EXPORT)[2] == exported.request.content
        form = await client.post("form", data={"q": "é +&", "tag": ["x", "y"]})
        assert seen(scene, "POST /form")[2] == form.request.content

        async def pieces() -> AsyncIterator[bytes]:
            for piece in (b'{"text":', b'"in pieces"}'):
                yield piece

        await client.put("notes/n1", content=pieces(), headers={"Content-Type": "application/json"})
        assert seen(scene, "PUT /notes/n1")[2] == b'{"text":"in pieces"}'
        head = await client.head("customers/c42")
        assert (head.status_code, head.content, int(head.headers["Content-Length"]) > 0) == (200, b"", True)
        multipart = await client.post("form", files={"file": ("a.txt", b"x")})
        assert (multipart.status_code, multipart.json()["code"]) == (415, "media_type_unsupported")


async def test_a_client_that_follows_redirects_stays_at_the_proxy(scene: Governed) -> None:
    before = scene.ledger.arrived["GET /ping"]
    async with httpx.AsyncClient(headers=bearer(scene.issuer, AGENT), follow_redirects=True) as client:
        scene.misbehave(SEARCH, "redirect", location="/customers/c42")
        answer = await client.get(f"{scene.url}/proxy/api/search?q=x")
        assert (answer.status_code, answer.json()["id"]) == (200, "c42")
        assert [step.status_code for step in answer.history] == [307]
        scene.misbehave(SEARCH, "redirect", location="/ping")  # no function's: the upstream's word lets nobody through
        answer = await client.get(f"{scene.url}/proxy/api/search?q=x")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_such_route")
    assert scene.ledger.arrived["GET /ping"] == before


async def test_aiohttp_that_compresses_what_it_sends(scene: Governed) -> None:
    body = b'{"limit":' + b" " * 2000 + b"1}"
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await ask(scene, "POST", "api/customers/export", data=body, headers=headers)
    assert (answer.status, answer.code) == (415, "content_encoded")


async def test_a_websocket_is_refused_and_nothing_runs(scene: Governed) -> None:
    before = sum(scene.ledger.arrived.values())
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await scene.http.ws_connect(f"{scene.url}/proxy/api/customers/c42", headers=bearer(scene.issuer, AGENT))
    assert refused.value.status == 501
    assert sum(scene.ledger.arrived.values()) == before


async def test_curl_that_waits_for_leave_to_send_its_body(scene: Governed) -> None:
    sending = ("-H", "Expect: 100-continue", "-H", "Content-Type: application/json", "-d", '{"limit":1}')
    lines, body = await curl(scene, "customers/export", *sending)
    assert [line.split()[1] for line in lines] == ["100", "200"]
    assert json.loads(body)["exported"] == 1
    lines, body = await curl(scene, "search", "-X", "GET", *sending)
    assert [line.split()[1] for line in lines] == ["400"], "refused before a byte of the body"
    assert json.loads(body)["code"] == "body_unexpected"


async def test_curl_with_its_other_habits(scene: Governed) -> None:
    lines, _ = await curl(scene, "search", "-G", "--data-urlencode", "q=a b/ü", "--compressed", "--http2")
    assert [line.split()[0] for line in lines] == ["HTTP/1.1"], "an upgrade to HTTP/2 is not taken up"
    assert seen(scene, SEARCH)[1] == "q=a%20b%2f%c3%bc"
    for options in ((), ("--path-as-is",)):
        lines, body = await curl(scene, "customers/../_seen", *options)
        assert (lines[0].split()[1], json.loads(body)["code"]) == ("404", "no_such_route")
    lines, _ = await curl(scene, "customers/c42", "-0")
    assert lines[0].split()[1] == "200"


async def test_of_the_headers_that_an_agent_sends_a_short_list_arrives(scene: Governed) -> None:
    hostile = {
        "Forwarded": "for=10.0.0.1;host=evil.test;proto=https",
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/admin",
        "X-Real-Ip": "10.0.0.1",
        "X-Original-Url": "/_seen",
        "X-Rewrite-Url": "/_seen",
        "X-Http-Method-Override": "DELETE",
        "Proxy-Authorization": "Basic eDp5",
        "X-Api-Key": "agents-own",
        "Cookie": "session=1",
        "Host": "evil.test",
        "Via": "1.1 evil",
        "Range": "bytes=0-3",
        "If-Range": '"v1"',
        "TE": "trailers, deflate",
        "Trailer": "X-Sum",
        "Connection": "keep-alive, X-Foo, TE",
        "X-Foo": "1",
        "Origin": "https://page.test",
        "Referer": "https://page.test/x",
        "User-Agent": "agent/1.0",
        "Max-Forwards": "3",
        "Access-Control-Request-Method": "DELETE",
        "Idempotency-Key": "of-the-agent",
        "Prefer": "wait=20",
        "traceparent": "rubbish",
    }
    answer = await ask(scene, "GET", "api/customers/c42", headers=hostile)
    assert (answer.status, answer.json["id"]) == (200, "c42"), "the whole, since no part is asked for"
    last = scene.ledger.last[LOOK]
    assert set(last["headers"]) - {"traceparent"} == ALWAYS
    assert (last["authorization_last4"], last["idempotency_key"]) == (TOKEN[-4:], answer.call.call_id)
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_a_browser_gets_no_leave_to_ask(scene: Governed) -> None:
    preflight = {"Origin": "https://page.test", "Access-Control-Request-Method": "GET"}
    url = f"{scene.url}/proxy/api/customers/c42"
    async with scene.http.options(url, headers=preflight) as response:
        assert response.status == 401
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]
    answer = await ask(scene, "OPTIONS", "api/customers/c42", headers=preflight)
    assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "no_such_method", "HEAD, GET")
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_a_part_is_told_as_one_and_no_parts_are_offered(scene: Governed) -> None:
    part = {"content_range": "0-24/3573", "accept_ranges": "items", "content_type": "application/json"}
    answers(scene, SEARCH, 206, f'["{CARD}"]', **part)
    answer = await ask(scene, "GET", "api/search?q=x")
    assert (answer.status, answer.headers["Content-Range"], answer.body) == (206, "0-24/3573", b'["[CREDIT_CARD]"]')
    assert "Accept-Ranges" not in answer.headers


async def test_what_a_cache_must_know(scene: Governed) -> None:
    answers(scene, SEARCH, 200, cache_control="max-age=60", vary="Accept-Language", age="40", content_type="text/plain")
    answer = await ask(scene, "GET", "api/search?q=x", headers={"Accept-Language": "de"})
    assert values(scene, SEARCH)["accept-language"] == "de"
    assert {name: answer.headers.getall(name) for name in ("Cache-Control", "Vary", "Age")} == {  # type: ignore[attr-defined]
        "Cache-Control": ["private, max-age=60"],
        "Vary": ["Authorization", "Accept-Language"],
        "Age": ["40"],
    }


@pytest.mark.parametrize(("size", "status"), [(1_000_000, 200), (4_000_000, 502)])
async def test_large_answers_come_whole_or_not_at_all(scene: Governed, size: int, status: int) -> None:
    lines = "".join(f"line {number}\n" for number in range(size // 12))
    answers(scene, SEARCH, 200, lines, content_type="text/csv")
    answer = await ask(scene, "GET", "api/search?q=x")
    assert answer.status == status
    if status == 200:
        assert answer.body.decode() == lines
    else:
        assert (answer.code, answer.json["reason"]) == ("result_withheld", "response_cut_off")
        assert answer.headers["X-Should-Retry"] == "false"
