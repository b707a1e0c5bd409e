"""The transparent proxy on real parts: what the upstream gets byte for byte, and what comes back."""

import json
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio
from governed_scene import CARD, TOKEN, Governed, governed
from proxy_scene import LOOK, SEARCH, answers, ask, seen, values

from services.audit.views import replay, session_chains

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXPORT, CAFE = "POST /customers/export", "POST /accounts/café 1/transfers"
EXECUTED = ["requested", "arguments_masked", "allowed", "execution_started", "execution_completed", "result_masked"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Governed]:
    async with governed(tmp_path_factory.mktemp("proxy")) as running:
        yield running


# What goes there


async def test_a_call_like_any_other(scene: Governed) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    cookies = {"Cookie": "session=1", "X-Forwarded-Host": "evil", "traceparent": trace, "X-Api-Key": "k"}
    answer = await ask(scene, "GET", "api/customers/c42", headers=cookies)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert (answer.json["id"], answer.json["ssn"], answer.json["card_number"]) == ("c42", "[US_SSN]", "[CREDIT_CARD]")
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert (answer.headers["Callgate-Status"], answer.headers["Cache-Control"]) == ("completed", "no-store")
    assert await scene.names(answer.call) == EXECUTED
    last = scene.ledger.last[LOOK]
    assert (last["authorization_last4"], last["idempotency_key"]) == (TOKEN[-4:], answer.call.call_id)
    assert not {"cookie", "x-forwarded-host", "x-api-key", "content-type"} & set(last["headers"])
    assert last["traceparent"].split("-")[1] == trace.split("-")[1]

    # The calls under one token are one session, those under a name are another; and each is looked at by its id.
    again = await ask(scene, "GET", "api/customers/c43", headers=cookies)
    assert again.call.session_id != answer.call.session_id, "another token: this test mints one for each request"
    named = {"Callgate-Session": "run-7"}
    first, second = [await ask(scene, "GET", "api/customers/c43", headers=named) for _ in range(2)]
    assert first.headers["Callgate-Session"] == second.headers["Callgate-Session"] == first.call.session_id
    document = await scene.outcome(answer.call)
    assert (document["function"], document["result"]["body"]["id"]) == ("api.customer", "c42")


@pytest.mark.parametrize(
    ("method", "target", "content_type", "body", "route", "query"),
    [
        ("GET", "customers/%63%34%32", None, b"", LOOK, ""),
        ("HEAD", "customers/c42", None, b"", LOOK, ""),
        ("GET", "search?q=a%2Bb%26&tag=x&limit=7&tag=y&exact=true&price=1.50", None, b"", SEARCH, ""),
        ("GET", "search?q=a+b", None, b"", SEARCH, "q=a%20b"),
        ("POST", "customers/export", "Application/JSON; charset=UTF-8", b' {\n"limit" : 1 }\r\n', EXPORT, ""),
        ("POST", "accounts/caf%c3%A9%20%31/transfers", "application/json", b'{"amount":1e1}', CAFE, ""),
        ("PUT", "notes/n1", "application/json", '{"text":"h\\u00e9 é"}'.encode(), "PUT /notes/n1", ""),
        ("DELETE", "notes/n1", None, b"", "DELETE /notes/n1", ""),
        ("POST", "form", "application/x-www-form-urlencoded", b"q=a+b%26&tag=x&tag=%79&limit=7", "POST /form", ""),
        ("POST", "text/t1", "text/plain;charset=utf-8", " as it is\r\n\té ".encode(), "POST /text/t1", ""),
        ("PATCH", "echo", "application/merge-patch+json", b'{"text": "x", "id": "1"}', "PATCH /echo", ""),
        ("POST", "anything", None, b"", "POST /anything", ""),
    ],
)  # fmt: skip
async def test_every_byte_arrives_as_it_was_sent(
    scene: Governed, method: str, target: str, content_type: str | None, body: bytes, route: str, query: str
) -> None:
    headers = {"Accept": "text/csv, */*;q=0.1", "Accept-Language": "de"}
    headers |= {"Content-Type": content_type} if content_type else {}
    answer = await ask(scene, method, f"api/{target}", data=body or None, headers=headers)
    assert answer.headers["Callgate-Status"] == "completed", answer.body
    path, _, raw_query = target.partition("?")
    assert seen(scene, route) == (f"/{path}", query or raw_query, body)
    arrived = values(scene, route)
    assert (arrived["accept"], arrived["accept-language"]) == ("text/csv, */*;q=0.1", "de")
    assert arrived.get("content-type") == content_type


# What comes back


async def test_the_answer_comes_back_masked_with_its_headers(scene: Governed) -> None:
    answers(
        scene,
        SEARCH,
        201,
        json.dumps({"card": CARD, "price": 1.10}),
        content_type="application/vnd.api+json; charset=utf-8",
        etag='"v8"',
        location="/customers/c43?card=" + CARD,
        link='<?page=2>; rel="next", </admin/../../etc>; rel=up',
        last_modified="Sun, 22 Nov 2026 10:00:00 GMT",
        cache_control="public, max-age=60",
        x_ratelimit_remaining="7",
        retry_after="3",
        set_cookie="session=1",
        server="secret/1.0",
        callgate_call="forged",
        www_authenticate="Basic",
    )
    answer = await ask(scene, "GET", "api/search?q=x")
    assert (answer.status, answer.body) == (201, b'{"card":"[CREDIT_CARD]","price":1.1}')
    told = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in ("date", "connection")}
    assert told == {
        "callgate-call": str(answer.call),
        "callgate-status": "completed",
        "callgate-session": answer.call.session_id,
        "content-type": "application/vnd.api+json",
        "content-length": str(len(answer.body)),
        "etag": '"v8"',
        "location": "/proxy/api/customers/c43?card=[CREDIT_CARD]",
        "link": '</proxy/api/search?page=2>; rel="next", </proxy/api/etc>; rel=up',
        "last-modified": "Sun, 22 Nov 2026 10:00:00 GMT",
        "cache-control": "private, max-age=60",
        "x-ratelimit-remaining": "7",
        "retry-after": "3",
        "vary": "Authorization",
    }
    outcome = await scene.outcome(answer.call)
    assert outcome["header_findings"] == [{"path": "/location", "entity": "CREDIT_CARD"}]
    assert outcome["findings"] == [{"path": "/card", "entity": "CREDIT_CARD"}]
    (chain,) = await session_chains(scene.audit.log, scene.partitions, answer.call.session_id)
    shown = (await replay(chain, scene.audit.sealer, scene.audit.records)).shown()["steps"][-1]
    headers = dict(orjson.loads(orjson.dumps(shown["response_headers"])))
    assert (headers["location"], headers["etag"]) == ("/proxy/api/customers/c43?card=[CREDIT_CARD]", '"v8"')
    (found,) = shown["header_findings"]
    assert (found["path"], found["entity"]) == ("/location", "CREDIT_CARD")


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_have_none(scene: Governed, status: int) -> None:
    answers(scene, SEARCH, status, "", etag='"v8"')
    answer = await ask(scene, "GET", "api/search?q=x", headers={"If-None-Match": '"v8"'})
    assert (answer.status, answer.body, answer.headers["ETag"]) == (status, b"", '"v8"')
    assert "Content-Length" not in answer.headers
    assert "Content-Type" not in answer.headers
    assert values(scene, SEARCH)["if-none-match"] == '"v8"'


async def test_a_head_is_a_get_without_its_body(scene: Governed) -> None:
    whole = await ask(scene, "GET", "api/customers/c42")
    head = await ask(scene, "HEAD", "api/customers/c42")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == whole.headers["Content-Length"]


async def test_redirects_come_back_and_nobody_follows_them(scene: Governed) -> None:
    before = scene.ledger.arrived["GET /ping"]
    scene.misbehave(SEARCH, "redirect", location="/ping")
    answer = await ask(scene, "GET", "api/search?q=x")
    assert (answer.status, answer.headers["Location"]) == (307, "/proxy/api/ping")
    scene.misbehave(SEARCH, "redirect", location="https://sign-in.example.com/?next=1")
    answer = await ask(scene, "GET", "api/search?q=x")
    assert answer.headers["Location"] == "https://sign-in.example.com/?next=1"
    assert scene.ledger.arrived["GET /ping"] == before


@pytest.mark.parametrize(
    ("status", "content_type", "text"),
    [(404, "application/json", '{"detail":"not found"}'), (429, "text/plain", "slow down"), (500, "text/html", "<p>é")],
)
async def test_errors_of_the_function_are_its_own(scene: Governed, status: int, content_type: str, text: str) -> None:
    answers(scene, SEARCH, status, text, content_type=content_type)
    answer = await ask(scene, "GET", "api/search?q=x")
    assert (answer.status, answer.body.decode()) == (status, text)
    assert answer.headers["Content-Type"].partition(";")[0] == content_type
    assert answer.headers["Callgate-Status"] == "completed"


@pytest.mark.parametrize(
    ("content_type", "reason"), [("image/png", "content_type_unknown"), ("application/json", "malformed_json")]
)
async def test_what_cannot_be_inspected_is_not_shown(scene: Governed, content_type: str, reason: str) -> None:
    answers(scene, SEARCH, 200, f"{CARD} \N{SNOWMAN}", content_type=content_type, etag='"v8"')
    answer = await ask(scene, "GET", "api/search?q=x")
    assert (answer.status, answer.code, answer.json["reason"]) == (502, "result_withheld", reason)
    assert "ETag" not in answer.headers
    assert answer.call
