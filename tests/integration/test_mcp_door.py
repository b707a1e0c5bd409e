"""The MCP door before anything is called: who may knock, from where, with what, and whose session it is."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from doors import bearer
from governed_scene import CARD, PAY, PAY_ROUTE, Governed, eventually, governed
from mcp_scene import GENERATIONS, call_of, connected, post, text_of

from contracts.subjects import CallRef

MODERN = "2026-07-28"
HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    own = {"hold": 20, "sessions": 8, "origins": ["https://inspector.example"], "scopes": ["openid", "tools"]}
    async with governed(tmp_path, ingress={"mcp": own, "body_limit": 20_000, "depth_limit": 8}) as running:
        yield running


def envelope(method: str, **params: Any) -> dict[str, Any]:
    """A request of 2026-07-28."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": params.pop("capabilities", {}),
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}


def modern(method: str, name: str | None = None) -> dict[str, str]:
    named = {"Mcp-Name": name} if name is not None else {}
    return {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, **named}


async def begun(scene: Governed, who: str = "support-bot") -> str:
    """The id of a new session."""
    response, _ = await post(scene, HELLO, who)
    assert response.status == 200
    return response.headers["Mcp-Session-Id"]


# Identity


async def test_without_a_token_a_client_is_told_where_to_get_one(scene: Governed) -> None:
    response, problem = await post(scene, HELLO, who=None)
    assert (response.status, problem["code"]) == (401, "missing_token")
    metadata_url = f"{scene.url}/.well-known/oauth-protected-resource/mcp"
    challenge = response.headers["WWW-Authenticate"]
    assert challenge == f'Bearer resource_metadata="{metadata_url}", scope="openid tools"'
    async with scene.http.get(metadata_url) as answer:
        metadata = await answer.json()
    assert metadata["resource"] == f"{scene.url}/mcp"
    assert metadata["authorization_servers"] == [scene.issuer.url]
    assert (metadata["scopes_supported"], metadata["bearer_methods_supported"]) == (["openid", "tools"], ["header"])
    async with scene.http.get(f"{scene.url}/.well-known/oauth-protected-resource") as answer:
        assert await answer.json() == metadata


async def test_a_bad_token_is_refused_at_every_request(scene: Governed) -> None:
    session = await begun(scene)
    for method in ("POST", "DELETE"):
        headers = {"Authorization": "Bearer a.b.c", "Mcp-Session-Id": session, "Accept": "text/event-stream"}
        more = {"json": LIST} if method == "POST" else {}
        async with scene.http.request(method, f"{scene.url}/mcp", headers=headers, **more) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token", resource_metadata=')


async def test_a_session_is_its_principals_alone(scene: Governed) -> None:
    session = await begun(scene)
    response, _ = await post(scene, LIST, Mcp_Session_Id=session)
    assert response.status == 200
    response, answer = await post(scene, LIST, who="deploy-bot", Mcp_Session_Id=session)
    assert (response.status, answer["code"]) == (404, "unknown_session")
    headers = bearer(scene.issuer, "deploy-bot") | {"Mcp-Session-Id": session}
    async with scene.http.delete(f"{scene.url}/mcp", headers=headers) as response:
        assert response.status == 404
    response, _ = await post(scene, LIST, Mcp_Session_Id=session)
    assert response.status == 200


async def test_sessions_are_bounded_and_end_when_their_client_says_so(scene: Governed) -> None:
    """Of eight, one principal may hold two."""
    first, second = await begun(scene), await begun(scene)
    third, theirs = await begun(scene), await begun(scene, "deploy-bot")
    headers = bearer(scene.issuer, "support-bot") | {"Mcp-Session-Id": third}
    async with scene.http.delete(f"{scene.url}/mcp", headers=headers) as response:
        assert response.status == 200
    for session, who, status in (
        (first, "support-bot", 404),
        (second, "support-bot", 200),
        (third, "support-bot", 404),
        (theirs, "deploy-bot", 200),
    ):
        response, _ = await post(scene, LIST, who, Mcp_Session_Id=session)
        assert response.status == status
    response, problem = await post(scene, LIST)
    assert (response.status, problem["code"]) == (400, "no_session")


# Where a request comes from


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost:6274"}, 200),
        ({"Origin": "https://inspector.example"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://localhost@evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example:80"}, 421),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "[::1]evil"}, 421),
    ],
)
async def test_names_that_are_not_ours_are_refused(scene: Governed, headers: dict[str, str], status: int) -> None:
    for message in (HELLO, envelope("server/discover")):
        more = {} if message is HELLO else modern("server/discover")
        response, problem = await post(scene, message, **headers, **more)
        assert response.status == status, problem
        if status != 200:
            assert problem["code"] in ("unknown_origin", "unknown_host")
            assert "evil" not in json.dumps(problem)


# What a request holds


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b'{"a": 1, "a": 2}', 400, -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": 0.10000000000000000001}}', 400, -32700),
        (b"[" * 50 + b"]" * 50, 400, -32700),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', 400, -32600),
        (b"[]", 400, -32600),
        (b'"ping"', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "result": {}}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}', 400, -32602),
    ],
)
async def test_what_is_no_message_is_refused_in_our_words(scene: Governed, body: bytes, status: int, code: int) -> None:
    session = await begun(scene)
    for headers in ({"Mcp-Session-Id": session}, modern("ping")):
        response, answer = await post(scene, body, **headers)
        assert (response.status, answer["error"]["code"]) == (status, code)


async def test_bodies_have_limits(scene: Governed) -> None:
    response, problem = await post(scene, b" " * 20_001)
    assert (response.status, problem["code"]) == (413, "body_too_large")
    response, problem = await post(scene, b"{}", Content_Type="text/plain")
    assert (response.status, problem["code"]) == (415, "not_json")


async def test_discovery_without_a_session(scene: Governed) -> None:
    response, answer = await post(scene, envelope("server/discover"), **modern("server/discover"))
    assert "Mcp-Session-Id" not in response.headers
    result = answer["result"]
    assert (result["supportedVersions"], result["resultType"]) == ([MODERN], "complete")
    assert result["capabilities"]["extensions"] == {"io.modelcontextprotocol/tasks": {}}
    assert "callgate_outcome" in result["instructions"]


@pytest.mark.parametrize(
    "headers",
    [
        {"MCP-Protocol-Version": MODERN},
        modern("tools/list", "shop-look"),
        modern("tools/call"),
        modern("tools/call", "shop-pay"),
        modern("tools/call", "shop-look") | {"MCP-Protocol-Version": "2099-01-01"},
    ],
)
async def test_headers_must_say_what_the_body_says(scene: Governed, headers: dict[str, str]) -> None:
    response, answer = await post(scene, envelope("tools/call", name="shop-look", arguments={"id": "c1"}), **headers)
    assert response.status == 400
    assert answer["error"]["code"] in (-32020, -32022)
    assert not scene.ledger.arrived


async def test_lists_come_in_pages(scene: Governed) -> None:
    session = await begun(scene)
    for cursor, code in (("bm9uZQ==", None), ("%%%", -32602)):
        _, answer = await post(scene, {**LIST, "params": {"cursor": cursor}}, Mcp_Session_Id=session)
        assert answer.get("error", {}).get("code") == code


# Clients that leave, and clients that take back


async def asked_for_approval(scene: Governed) -> CallRef:
    (partition,) = scene.partitions
    async with asyncio.timeout(20):
        async for recorded in scene.audit.log.follow(partition, 0, "approval_required"):
            return recorded.ref
    raise AssertionError


@pytest.mark.parametrize("generation", ["sessions", "none"])
async def test_the_call_goes_on_when_its_client_leaves(scene: Governed, generation: str) -> None:
    message = envelope("tools/call", name="shop-pay", arguments={"amount": 250, **PAY})
    headers = modern("tools/call", "shop-pay")
    if generation == "sessions":
        headers = {"Mcp-Session-Id": await begun(scene)}
        del message["params"]["_meta"]
    leaving = asyncio.create_task(post(scene, message, **headers))
    ref = await asked_for_approval(scene)
    leaving.cancel()
    await asyncio.wait((leaving,))
    await scene.vote(ref, "fay")
    await scene.until(ref, "result_masked")
    assert scene.ledger.executed == {PAY_ROUTE: 1}


async def test_a_request_that_is_taken_back_withdraws_its_call(scene: Governed) -> None:
    """`notifications/cancelled` names a request of its own session: a person pressed stop."""
    session, other = await begun(scene), await begun(scene)
    call = {"name": "shop-pay", "arguments": {"amount": 250, **PAY}}
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call}
    calling = asyncio.create_task(post(scene, message, Mcp_Session_Id=session))
    ref = await asked_for_approval(scene)
    back = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    for who, where in (("support-bot", other), ("deploy-bot", session)):
        await post(scene, back, who=who, Mcp_Session_Id=where)
    assert (await scene.chain(ref)).state == "approval_required"
    response, _ = await post(scene, back, Mcp_Session_Id=session)
    assert response.status == 202
    await scene.until(ref, "cancelled")
    response, answer = await calling
    assert answer["error"]["code"] == -32800


# Tasks


async def test_a_client_that_speaks_tasks_gets_one_and_polls_it(scene: Governed) -> None:
    speaks = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    # The hold is long: the task comes when it is over, so this one is asked about as the client would after a crash.
    document = await scene.call("shop.pay", wait=0, amount=250, **PAY)
    task_id = document["id"]

    async def ask(method: str, who: str = "support-bot", **more: Any) -> tuple[int, Any]:
        params = {"taskId": task_id, "capabilities": speaks} | more
        response, answer = await post(scene, envelope(method, **params), who, **modern(method, str(params["taskId"])))
        return response.status, answer

    async def waits() -> Any:
        _, answer = await ask("tasks/get")
        return answer["result"] if "waiting" in answer["result"].get("statusMessage", "") else None

    task = await eventually(waits)
    assert (task["taskId"], task["status"], task["resultType"]) == (task_id, "working", "complete")
    assert task["statusMessage"].startswith("waiting for approval by finance, 0 of 1")
    assert (task["ttlMs"], task["pollIntervalMs"]) == (None, 5000)
    assert (await ask("tasks/update", inputResponses={}))[1]["result"]["resultType"] == "complete"
    # Others, and those who do not speak it.
    for more in ({"who": "deploy-bot"}, {"taskId": "1-0.nonsense"}):
        status, answer = await ask("tasks/get", **more)
        assert (status, answer["error"]["code"]) == (400, -32602)
        assert (await ask("tasks/cancel", **more))[1]["error"]["code"] == -32602
    status, answer = await ask("tasks/get", capabilities={})
    assert (status, answer["error"]["code"]) == (400, -32021)
    assert answer["error"]["data"] == {"requiredCapabilities": speaks}
    for method in ("tasks/list", "tasks/result"):
        assert (await ask(method))[0] == 404
    _, answer = await post(
        scene, envelope("tasks/get", taskId=task_id, capabilities=speaks), **modern("tasks/get", "other")
    )
    assert answer["error"]["code"] == -32020
    # Its end.
    await scene.vote(CallRef.parse(task_id), "fay")
    await scene.until(CallRef.parse(task_id), "result_masked")
    task = (await ask("tasks/get"))[1]["result"]
    assert task["status"] == "completed"
    assert task["result"]["structuredContent"]["card_number"] == "[CREDIT_CARD]"
    assert CARD not in json.dumps(task)
    assert (await ask("tasks/cancel"))[1]["result"]["resultType"] == "complete", "acknowledged, and too late"


async def test_a_task_is_cancelled(scene: Governed) -> None:
    speaks = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    document = await scene.call("shop.pay", wait=0, amount=250, **PAY)
    ref = CallRef.parse(document["id"])
    await scene.until(ref, "approval_required")
    for method in ("tasks/cancel", "tasks/get"):
        message = envelope(method, taskId=document["id"], capabilities=speaks)
        _, answer = await post(scene, message, **modern(method, document["id"]))
    assert answer["result"]["status"] == "cancelled"
    assert (await scene.names(ref))[-1] == "cancelled"


async def test_tasks_are_not_of_the_handshake(scene: Governed) -> None:
    response, answer = await post(scene, HELLO)
    assert not answer["result"]["capabilities"].get("extensions")
    session = response.headers["Mcp-Session-Id"]
    asked = {"jsonrpc": "2.0", "id": 3, "method": "tasks/get", "params": {"taskId": "x"}}
    _, answer = await post(scene, asked, Mcp_Session_Id=session)
    assert answer["error"]["code"] == -32601


# Stopping


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_who_waits_is_answered_when_the_process_ends(tmp_path: Path, mode: str) -> None:
    asked = asyncio.Event()

    async def told(progress: float, total: float | None, message: str | None) -> None:
        if "waiting for approval" in (message or ""):
            asked.set()

    async with contextlib.AsyncExitStack() as deployment:
        scene = await deployment.enter_async_context(governed(tmp_path))
        # What the client still sends finds nobody, which may end it at any moment after its answer came.
        with contextlib.suppress(ExceptionGroup):
            async with connected(scene, mode) as client:
                arguments = {"amount": 250, **PAY}
                calling = asyncio.create_task(client.call_tool("shop-pay", arguments, progress_callback=told))
                await asyncio.wait_for(asked.wait(), 20)
                await deployment.aclose()
                await asyncio.wait((calling,), timeout=10)
    result = calling.result()
    assert call_of(result)["status"] == "waiting_for_approval"
    assert "goes on by itself" in text_of(result)
