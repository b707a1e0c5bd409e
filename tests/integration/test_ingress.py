"""Ingress on a real log and a real socket; the other services' events are appended with their own keys and rights."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from calls import REVIEWER, Calls
from deployment import Deployment, running_deployment
from doors import bearer, serving, token_issuer, trusting

from callgate.log import Alien
from callgate.platform import Platform
from cli.dev_issuer import DevIssuer
from contracts.events import Recorded, Requested
from contracts.functions import UNKNOWN_FUNCTION
from contracts.identity import Role
from contracts.subjects import CallRef
from services.ingress.app import build

OTHERS = (Role.MASKING, Role.POLICY, Role.APPROVAL, Role.EXECUTOR)
BODY = {"function": "crm.get_customer", "arguments": {"id": "c_1"}}
CARD = "4111111111111111"


@dataclass
class Door:
    """Ingress as an agent sees it, and the hands of everybody behind it."""

    here: Deployment
    issuer: DevIssuer
    url: str
    http: aiohttp.ClientSession
    platforms: dict[Role, Platform]

    @property
    def others(self) -> Calls:
        return Calls(self.platforms)

    @property
    def auth(self) -> dict[str, str]:
        return bearer(self.issuer, "support-bot")

    async def call(self, method: str, path: str, **more: Any) -> tuple[aiohttp.ClientResponse, Any]:
        headers = {**self.auth, **more.pop("headers", {})}
        async with self.http.request(method, f"{self.url}{path}", headers=headers, **more) as response:
            return response, await response.json(content_type=None)

    async def submit(self, body: Any = BODY, **headers: str) -> tuple[aiohttp.ClientResponse, Any]:
        return await self.call("POST", "/v1/calls", json=body, headers=headers)

    async def pending(self, body: Any = BODY) -> tuple[CallRef, Recorded]:
        """A call that was asked for without waiting, and its first event."""
        response, document = await self.submit(body, Prefer="wait=0")
        assert response.status == 202
        ref = CallRef.parse(document["id"])
        return ref, await self.head(ref)

    async def head(self, ref: CallRef) -> Recorded:
        return (await self.platforms[Role.POLICY].log.read(ref)).call.chain[-1]

    async def next_requested(self, after: int = 0) -> Recorded:
        """The first call on the log after that sequence, as soon as it stands."""
        log = self.platforms[Role.AUDIT].log
        async with asyncio.timeout(10):
            async for recorded in log.follow(self.platforms[Role.AUDIT].partitions[0], after, "requested"):
                assert not isinstance(recorded, Alien)
                return recorded
        raise AssertionError

    async def answered(self, requested: Recorded, view: bytes = b'{"name":"Ada","card":"[CREDIT_CARD]"}') -> Recorded:
        """Every step from there to the end."""
        masked = await self.others.masked(requested)
        started = await self.others.started(await self.others.allowed(masked))
        assert isinstance(requested.data, Requested)
        return await self.others.result(await self.others.completed(started, requested.data.function), view)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        issuer = await enter(token_issuer(tmp_path))
        here = await enter(
            running_deployment(
                tmp_path,
                overrides={
                    "identity": trusting(issuer),
                    "ingress": {"wait": 20, "max_wait": 30, "body_limit": 20_000, "depth_limit": 8},
                    "connections": {
                        "crm": {
                            "base_url": "http://127.0.0.1:1",
                            "functions": {
                                "get_customer": {
                                    "description": "One customer.",
                                    "tags": ["read"],
                                    "idempotent": True,
                                    "path": "/customers/{id}",
                                    "input": {
                                        "type": "object",
                                        "properties": {"id": {"type": "string"}},
                                        "required": ["id"],
                                    },
                                }
                            },
                        }
                    },
                },
            )
        )
        platforms = await enter(here.platforms(*OTHERS, Role.AUDIT))
        url = await enter(serving(here, (Role.INGRESS, build)))
        http = await enter(aiohttp.ClientSession())
        door = Door(here, issuer, url, http, platforms)
        await until_healthy(door)
        yield door


async def until_healthy(door: Door) -> None:
    """Asks until ingress says that it can work; the broker's store is looked at right after the start."""
    async with asyncio.timeout(10):
        while True:
            async with door.http.get(f"{door.url}/health") as response:
                if response.status == 200:
                    return


async def together(*work: Awaitable[Any]) -> list[Any]:
    async with asyncio.timeout(25):
        return list(await asyncio.gather(*work))


async def test_a_waiting_request_gets_the_masked_result(door: Door) -> None:
    async def behind() -> None:
        await door.answered(await door.next_requested())

    (response, document), _ = await together(
        door.submit(Prefer="wait=15", traceparent=f"00-{'a' * 32}-{'b' * 16}-01"), behind()
    )
    assert response.status == 200
    assert response.headers["Preference-Applied"] == "wait=15"
    assert document["status"] == "completed"
    assert document["event"] == "result_masked"
    assert document["function"] == "crm.get_customer"
    assert document["result"] == {
        "status": 200,
        "content_type": "application/json",
        "body": {"name": "Ada", "card": "[CREDIT_CARD]"},
    }
    chain = (await door.platforms[Role.AUDIT].log.read(CallRef.parse(document["id"]))).call.chain
    assert chain[0].traceparent == f"00-{'a' * 32}-{'b' * 16}-01"
    assert chain[0].event.data.principal.id == "support-bot"


async def test_a_denial_is_an_answer_that_names_its_policies(door: Door) -> None:
    async def behind() -> None:
        await door.others.denied(await door.others.masked(await door.next_requested()))

    (response, document), _ = await together(door.submit(), behind())
    assert (response.status, document["status"]) == (200, "denied")
    assert (document["policies"], document["code"]) == (["never"], "forbidden_by_policy")
    assert "Preference-Applied" not in response.headers


async def test_what_is_not_answered_in_time_is_202_and_can_be_asked_again(door: Door) -> None:
    response, document = await door.submit(Prefer="wait=0")
    assert response.status == 202
    assert response.headers["Location"] == f"/v1/calls/{document['id']}"
    assert int(response.headers["Retry-After"]) > 0
    assert document["status"] == "pending"
    requested = await door.head(CallRef.parse(document["id"]))
    assert (await door.call("GET", response.headers["Location"]))[0].status == 202
    long_poll = door.call("GET", response.headers["Location"], headers={"Prefer": "wait=20"})
    (polled, outcome), _ = await together(long_poll, door.answered(requested))
    assert (polled.status, outcome["status"]) == (200, "completed")


async def test_a_paused_call_tells_who_must_approve_and_a_rejection_its_reason(door: Door) -> None:
    ref, requested = await door.pending()
    question = await door.others.approval_required(await door.others.masked(requested))
    response, document = await door.call("GET", f"/v1/calls/{ref}")
    assert (response.status, document["status"]) == (202, "waiting_for_approval")
    requirement = document["approvals"]["requirements"][0]
    assert (requirement["groups"], requirement["quorum"], requirement["missing"]) == (["sre"], 1, 1)
    await door.others.rejected(await door.others.vote(question, "reject", "not on a Friday"))
    response, document = await door.call("GET", f"/v1/calls/{ref}")
    assert (response.status, document["status"], document["reason"]) == (200, "rejected", "not on a Friday")
    assert [vote["decision"] for vote in document["approvals"]["votes"]] == ["reject"]
    assert REVIEWER.id not in json.dumps(document)


async def test_an_agent_sees_its_own_calls_only(door: Door) -> None:
    ref, _ = await door.pending()
    for other in (bearer(door.issuer, "kim"), bearer(door.issuer, "kim", act="support-bot")):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events")):
            response, problem = await door.call(method, f"/v1/calls/{ref}{path}", headers=other)
            assert (response.status, problem["code"]) == (404, "unknown_call")
    for strange in (f"{ref}0", "x", str(ref).replace("1-0", "7-0"), str(ref)[:-1] + "0", "%00", "%ff", "*", "1-0.>"):
        response, problem = await door.call("GET", f"/v1/calls/{strange}")
        assert (response.status, problem["code"]) == (404, "unknown_call")


async def test_sessions_belong_to_who_began_them(door: Door) -> None:
    first, _ = await door.pending({**BODY, "session": "run-1"})
    again, _ = await door.pending({**BODY, "session": "run-1"})
    by_id, _ = await door.pending({**BODY, "session": first.session_id})
    assert first.session_id == again.session_id == by_id.session_id
    for other in (bearer(door.issuer, "kim"), bearer(door.issuer, "kim", act="support-bot")):
        named = await door.submit({**BODY, "session": "run-1"}, Prefer="wait=0", **other)
        assert named[1]["session"] != first.session_id
        response, problem = await door.submit({**BODY, "session": first.session_id}, Prefer="wait=0", **other)
        assert (response.status, problem["code"]) == (403, "foreign_session")


async def test_a_waiting_call_can_be_withdrawn_and_a_running_one_cannot(door: Door) -> None:
    ref, requested = await door.pending()
    await door.others.masked(requested)
    withdrawal = door.call("DELETE", f"/v1/calls/{ref}")
    waiting = door.call("GET", f"/v1/calls/{ref}", headers={"Prefer": "wait=20"})
    (deleted, document), (polled, _) = await together(withdrawal, waiting)
    assert (deleted.status, document["status"], document["code"]) == (200, "cancelled", "withdrawn")
    assert polled.status == 200
    assert (await door.call("DELETE", f"/v1/calls/{ref}"))[0].status == 200
    running, requested = await door.pending()
    await door.others.started(await door.others.allowed(await door.others.masked(requested)))
    response, problem = await door.call("DELETE", f"/v1/calls/{running}")
    assert (response.status, problem["code"], problem["state"]) == (409, "too_late", "execution_started")


async def read_events(door: Door, ref: CallRef, count: int, **headers: str) -> list[tuple[int, str, Any]]:
    """The first events of the stream of events: id, name, data."""
    found: list[tuple[int, str, Any]] = []
    async with asyncio.timeout(20):
        url = f"{door.url}/v1/calls/{ref}/events"
        async with door.http.get(url, headers={**door.auth, **headers}) as response:
            assert response.content_type == "text/event-stream"
            fields: dict[bytes, bytes] = {}
            async for line in response.content:
                name, _, value = line.rstrip(b"\n").partition(b": ")
                fields[name] = value
                if line == b"\n" and b"id" in fields:
                    found.append((int(fields[b"id"]), fields[b"event"].decode(), json.loads(fields[b"data"])))
                    fields = {}
                    if len(found) == count:
                        break
    return found


async def test_the_stream_of_events_begins_at_the_beginning_goes_on_and_ends(door: Door) -> None:
    ref, requested = await door.pending()
    masked = await door.others.masked(requested)
    events, _ = await together(read_events(door, ref, 99), door.others.denied(masked))
    assert [name for _, name, _ in events] == ["requested", "arguments_masked", "denied"]
    assert [sequence for sequence, _, _ in events] == sorted(sequence for sequence, _, _ in events)
    assert events[-1][2]["policies"] == ["never"]
    resumed = await read_events(door, ref, 99, **{"Last-Event-ID": str(events[0][0])})
    assert resumed == events[1:]
    assert await read_events(door, ref, 99, **{"Last-Event-ID": "nonsense; DROP"}) == events


async def test_an_alien_on_the_subjects_neither_answers_nor_blocks(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    async def behind() -> None:
        requested = await door.next_requested()
        # Right user, no signature: the broker lets masking's user say it, nobody believes it.
        await door.platforms[Role.MASKING].client.publish(requested.ref.subject("result_masked"), b"{}")
        await door.platforms[Role.MASKING].client.flush()
        await door.answered(requested)

    (response, document), _ = await together(door.submit(), behind())
    assert (response.status, document["status"]) == (200, "completed")


async def test_a_broker_that_restarts_loses_no_answer(door: Door) -> None:
    before = await door.pending()
    asked = asyncio.create_task(door.submit(Prefer="wait=25"))
    requested = await door.next_requested(before[1].sequence)
    await door.here.broker.restart()
    # It is republished while ingress may not be connected again: only the log can tell it.
    _, (response, document) = await together(door.answered(requested), asked)
    assert (response.status, document["status"]) == (200, "completed")


async def test_a_broker_that_is_away_is_a_503_that_says_so(door: Door) -> None:
    ref, _ = await door.pending()
    await door.here.broker.stop()
    response, problem = await door.call("GET", f"/v1/calls/{ref}")
    assert (response.status, problem["code"]) == (503, "broker_away")
    assert "Retry-After" in response.headers
    async with door.http.get(f"{door.url}/health") as health:
        assert health.status == 503


async def test_the_catalog_tells_what_may_be_asked_and_not_where_it_lives(door: Door) -> None:
    response, document = await door.call("GET", "/v1/functions")
    assert response.status == 200
    assert [function["name"] for function in document["functions"]] == ["crm.get_customer"]
    assert set(document["functions"][0]) == {"name", "description", "tags", "idempotent", "input"}
    async with door.http.get(f"{door.url}/v1/functions") as anonymous:
        assert (anonymous.status, anonymous.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_an_unknown_function_is_recorded_for_policy_to_deny(door: Door) -> None:
    _, requested = await door.pending({"function": "x4111111111111111.jane_doe", "arguments": {}})
    assert isinstance(requested.data, Requested)
    assert requested.data.function == UNKNOWN_FUNCTION


async def test_a_full_disk_admits_no_call(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(token_issuer(tmp_path))
        # Whatever disk this runs on is fuller than that.
        layout = {"identity": trusting(issuer), "broker": {"disk_limit": 1e-9}}
        here = await stack.enter_async_context(running_deployment(tmp_path, overrides=layout))
        url = await stack.enter_async_context(serving(here, (Role.INGRESS, build)))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        async with asyncio.timeout(10):
            code = "log_unknown"  # until it has looked for the first time
            while code == "log_unknown":
                async with http.post(f"{url}/v1/calls", json=BODY, headers=bearer(issuer, "support-bot")) as response:
                    assert response.status == 503
                    assert int(response.headers["Retry-After"]) > 0
                    code = (await response.json(content_type=None))["code"]
        assert code == "log_full"


HOSTILE: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "bad_json"),
    "duplicate key": (b'{"function":"a.b","arguments":{"card":"%b","card":1}}' % CARD.encode(), 400, "bad_json"),
    "duplicate field": (b'{"function":"a.b","function":"a.c","arguments":{}}', 400, "bad_json"),
    "NaN": (b'{"function":"a.b","arguments":{"card":"%b","x":NaN}}' % CARD.encode(), 400, "bad_json"),
    "Infinity": (b'{"function":"a.b","arguments":{"x":-Infinity}}', 400, "bad_json"),
    "deep": (b'{"function":"a.b","arguments":{"x":' + b"[" * 9 + b"]" * 9 + b"}}", 400, "bad_json"),
    "very deep": (b"[" * 19_000, 400, "bad_json"),
    "no UTF-8": (b'{"function":"a.b","arguments":{"x":"\xff\xfe"}}', 400, "bad_json"),
    "lone surrogate": (b'{"function":"a.b","arguments":{"x":"\\ud800"}}', 400, "bad_json"),
    "surrogate key": (b'{"function":"a.b","arguments":{"\\udfff":1}}', 400, "bad_json"),
    "long number": (b'{"function":"a.b","arguments":{"x":' + b"9" * 5000 + b"}}", 400, "bad_json"),
    "trailing": (b'{"function":"a.b","arguments":{}} %b' % CARD.encode(), 400, "bad_json"),
    "too big": (b'{"function":"a.b","arguments":{"x":"' + CARD.encode() * 2000 + b'"}}', 413, "body_too_large"),
    "no object": (b"[]", 422, "not_an_object"),
    "unknown field": (b'{"function":"a.b","arguments":{},"%b":1}' % CARD.encode(), 422, "unknown_field"),
    "no function": (b'{"arguments":{}}', 422, "bad_function"),
    "function a number": (b'{"function":7,"arguments":{}}', 422, "bad_function"),
    "function a subject": (b'{"function":"a.>","arguments":{}}', 422, "bad_function"),
    "function a card": (b'{"function":"a.%b","arguments":{}}' % CARD.encode(), 422, "bad_function"),
    "function too long": (b'{"function":"a.%b","arguments":{}}' % (b"b" * 300), 422, "bad_function"),
    "no arguments": (b'{"function":"a.b"}', 422, "bad_arguments"),
    "arguments a list": (b'{"function":"a.b","arguments":["%b"]}' % CARD.encode(), 422, "bad_arguments"),
    "session null": (b'{"function":"a.b","arguments":{},"session":null}', 422, "bad_session"),
    "session strange": (b'{"function":"a.b","arguments":{},"session":"%b *"}' % CARD.encode(), 422, "bad_session"),
}


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
async def test_a_hostile_body_is_a_problem_document_and_no_trace(
    door: Door, caplog: pytest.LogCaptureFixture, chunked: bool
) -> None:
    async def chunks(body: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(body), 1000):
            yield body[at : at + 1000]

    with caplog.at_level(logging.DEBUG):
        for name, (body, status, code) in HOSTILE.items():
            headers = {**door.auth, "Content-Type": "application/json"}
            data = chunks(body) if chunked else body
            async with door.http.post(f"{door.url}/v1/calls", data=data, headers=headers) as response:
                text = await response.text()
                assert response.content_type == "application/problem+json", name
                assert (response.status, json.loads(text)["code"]) == (status, code), name
                assert CARD not in text, name
                assert "Traceback" not in text, name
    mine = [record for record in caplog.records if record.name.startswith(("services", "callgate", "uvicorn"))]
    assert not [record for record in mine if CARD in record.getMessage() + str(record.__dict__)]
    assert not [record for record in mine if record.levelno >= logging.ERROR]
    partition = door.platforms[Role.AUDIT].partitions[0]
    info = await door.platforms[Role.AUDIT].client.request(f"$JS.API.STREAM.INFO.{partition.stream}", b"")
    assert json.loads(info.data)["state"]["messages"] == 0


async def test_strange_headers_are_refused_or_ignored_and_never_a_5xx(door: Door) -> None:
    for content_type in ("text/plain", "application/json; charset=utf-16", "", "application/jsonx", "json"):
        response, problem = await door.call("POST", "/v1/calls", data=b"{}", headers={"Content-Type": content_type})
        assert (response.status, problem["code"]) == (415, "not_json")
    response, problem = await door.call("POST", "/v1/calls", json=BODY, headers={"Content-Encoding": "gzip"})
    assert (response.status, problem["code"]) == (415, "content_encoded")
    ignored = {
        "traceparent": "00-zz",
        "Prefer": 'wait=0, wait="x, =;;, \\',
        "Last-Event-ID": "\u00fc" * 50,
        "X-Odd": "\u00ff",
    }
    response, _ = await door.submit(**ignored)
    assert response.status == 202
    ref = response.headers["Location"].rpartition("/")[2]
    assert (await door.head(CallRef.parse(ref))).traceparent is None
    for wrong in ("Bearer", "Bearer x.y.z", "Basic eDp5", "\u00e9", "Bearer " + "a" * 40_000):
        with contextlib.suppress(aiohttp.ClientError):
            refused, _ = await door.submit(Authorization=wrong)
            assert 400 <= refused.status < 500


async def test_a_body_cut_off_is_nobody_s_error(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    host, port = door.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    lines = ["POST /v1/calls HTTP/1.1", "Host: x", "Content-Type: application/json", "Content-Length: 500"]
    lines.append(f"Authorization: {door.auth['Authorization']}")
    writer.write(("\r\n".join(lines) + '\r\n\r\n{"function":').encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    ref, _ = await door.pending()  # it goes on
    assert ref
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_many_wait_at_once_and_each_gets_its_own_answer(door: Door) -> None:
    async def behind(count: int) -> None:
        seen = 0
        for _ in range(count):
            requested = await door.next_requested(seen)
            seen = requested.sequence
            await door.answered(requested, json.dumps({"call": str(requested.ref)}).encode())

    *answers, _ = await together(*(door.submit() for _ in range(20)), behind(20))
    for response, document in answers:
        assert response.status == 200
        assert document["result"]["body"] == {"call": document["id"]}
    assert len({document["id"] for _, document in answers}) == 20


async def test_who_waits_while_ingress_stops_is_told_where_to_ask_again(tmp_path: Path) -> None:
    async with (
        token_issuer(tmp_path) as issuer,
        running_deployment(tmp_path, overrides={"identity": trusting(issuer)}) as here,
        aiohttp.ClientSession() as http,
        here.platform(Role.AUDIT) as audit,
    ):
        headers = bearer(issuer, "support-bot")
        async with serving(here, (Role.INGRESS, build)) as url:
            asked = asyncio.create_task(http.post(f"{url}/v1/calls", json=BODY, headers=headers))
            async for begun in audit.log.follow(audit.partitions[0]):  # its subscription was made before this
                assert isinstance(begun, Recorded)
                break
            stream = await http.get(f"{url}/v1/calls/{begun.ref}/events", headers=headers)
            while b"requested" not in await stream.content.readline():
                assert not stream.content.at_eof()
        response = await asked
        assert response.status == 202
        assert response.headers["Location"] == f"/v1/calls/{begun.ref}"
        assert (await response.json())["status"] == "pending"
        await stream.read()  # it ended, and was not cut off
        stream.close()
        response.close()
