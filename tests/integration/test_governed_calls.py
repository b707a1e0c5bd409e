"""Whole calls through every service on a real broker: what agent, reviewer and upstream see, and what nobody may."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from governed_scene import CARD, LOOK_ROUTE, PAY, PAY_ROUTE, POLICIES, TOKEN, Governed, governed

from callgate.log import reading
from callgate.telemetry import JsonFormatter
from cli.demo.scan import scan
from contracts.events import ArgumentsMasked, ExecutionCompleted, Requested, ResultMasked, encode_event
from contracts.subjects import PAYLOADS, CallRef

EXECUTED = ["requested", "arguments_masked", "allowed", "execution_started", "execution_completed", "result_masked"]
APPROVED = [*EXECUTED[:2], "approval_required", "vote_cast", "approved", *EXECUTED[2:]]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path) as running:
        yield running


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """The log lines as the services write them: all of ours, and what libraries warn of."""
    ours = ("callgate", "services", "cli")
    written = (r for r in caplog.records if r.name.partition(".")[0] in ours or r.levelno >= logging.WARNING)
    return "\n".join(JsonFormatter("test").format(record) for record in written)


async def on_the_log(scene: Governed) -> bytes:
    """Every byte of every message of the partition."""
    (partition,) = scene.partitions
    found = reading.direct_all(scene.audit.client, partition.stream, partition.all_calls)
    return b"".join([repr(dict(message.headers)).encode() + message.body async for message in found])


async def test_allowed(scene: Governed) -> None:
    answer = await scene.call("shop.look", id="c42")
    assert answer["status"] == "completed"
    body = answer["result"]["body"]
    assert (body["id"], body["plan"]) == ("c42", "free")
    assert (body["ssn"], body["card_number"], body["email"]) == ("[US_SSN]", "[CREDIT_CARD]", "[EMAIL_ADDRESS]")
    assert await scene.names(answer["id"]) == EXECUTED
    seen = scene.ledger.last[LOOK_ROUTE]
    assert seen["idempotency_key"] == CallRef.parse(answer["id"]).call_id
    assert seen["authorization_last4"] == TOKEN[-4:]
    assert scene.ledger.executed == {LOOK_ROUTE: 1}


async def test_denied(scene: Governed) -> None:
    answer = await scene.call("shop.wall", rule="allow all", action="add")
    assert (answer["status"], answer["policies"], answer["code"]) == ("denied", ["never"], "forbidden")
    assert await scene.names(answer["id"]) == ["requested", "arguments_masked", "denied"]
    assert not scene.ledger.arrived


async def asked(scene: Governed, **arguments: Any) -> tuple[CallRef, asyncio.Task[Any]]:
    """A call that waits for people, and the agent's waiting request."""
    answer = await scene.call("shop.pay", wait=0, **arguments)
    ref = CallRef.parse(answer["id"])
    return ref, asyncio.create_task(scene.outcome(ref))


async def test_approved_by_a_person_and_run_once(scene: Governed) -> None:
    ref, waiting = await asked(scene, amount=250, **PAY)
    await scene.vote(ref, "fay")
    answer = await waiting
    assert answer["status"] == "completed"
    assert answer["result"]["body"]["card_number"] == "[CREDIT_CARD]"
    assert await scene.names(ref) == APPROVED
    assert scene.ledger.executed == {PAY_ROUTE: 1}
    assert json.loads(scene.ledger.last[PAY_ROUTE]["body"]) == {"amount": 250, **PAY}


async def test_rejected_with_a_reason(scene: Governed) -> None:
    ref, waiting = await asked(scene, amount=250, **PAY)
    await scene.vote(ref, "fay", "reject", reason="not without an invoice")
    answer = await waiting
    assert (answer["status"], answer["reason"]) == ("rejected", "not without an invoice")
    assert not scene.ledger.arrived


async def test_approved_under_policies_that_changed_meanwhile(scene: Governed) -> None:
    ref, waiting = await asked(scene, amount=250, **PAY)
    await scene.until(ref, "approval_required")
    frozen = '@id("no-more-refunds") forbid(principal, action == Action::"shop.pay", resource);'
    await scene.use_policies(POLICIES + frozen)
    await scene.vote(ref, "fay")
    answer = await waiting
    assert (answer["status"], answer["policies"]) == ("denied", ["no-more-refunds"])
    assert (await scene.names(ref))[-2:] == ["approved", "denied"]
    assert not scene.ledger.arrived


# Payloads of every size


async def test_large_arguments_and_results_go_beside_the_log(scene: Governed) -> None:
    text = "x" * 600_000
    answer = await scene.call("shop.echo", text=text, card=CARD)
    assert answer["result"]["body"] == {"text": text, "card": "[CREDIT_CARD]"}
    assert json.loads(scene.ledger.last["POST /echo"]["body"]) == {"text": text, "card": CARD}
    chain = await scene.chain(answer["id"])
    requested, masked = chain.last(Requested), chain.last(ArgumentsMasked)
    completed, result = chain.last(ExecutionCompleted), chain.last(ResultMasked)
    assert requested is not None
    assert masked is not None
    assert completed is not None
    assert result is not None
    for sealed in (requested.arguments, masked.arguments, masked.view, completed.result, result.view):
        assert sealed is not None
        assert sealed.payload is not None
        assert sealed.payload.chunks == 3
    info = await scene.audit.client.jetstream().stream_info(PAYLOADS)
    assert info.state.messages == 5 * 3
    assert len(await on_the_log(scene)) < 20_000


async def test_a_response_beyond_the_limit_is_withheld(scene: Governed) -> None:
    scene.misbehave(PAY_ROUTE, "huge", size=2 * 1024 * 1024)
    answer = await scene.call("shop.pay", amount=1, **PAY)
    assert (answer["status"], answer["withheld"]) == ("completed", "response_cut_off")
    assert "body" not in answer["result"]
    completed = (await scene.chain(answer["id"])).last(ExecutionCompleted)
    assert completed is not None
    assert (completed.truncated, completed.size) == (True, 1024 * 1024)


async def test_more_findings_than_an_event_holds(scene: Governed) -> None:
    """9,000 findings under long names: no message holds them, and still the call gets its answer."""
    addresses: Any = [f"a{n}@b.co" for n in range(9_000)]
    for _ in range(28):
        addresses = {"k" * 40: addresses}
    answer = await scene.call("shop.echo", **addresses)
    assert (answer["status"], answer["code"]) == ("denied", "uninspectable")
    masked = (await scene.chain(answer["id"])).last(ArgumentsMasked)
    assert masked is not None
    assert (masked.arguments, masked.uninspectable) == (None, ("too_many_findings",))


# Upstreams that misbehave


async def test_slower_than_the_deadline(scene: Governed) -> None:
    scene.misbehave(PAY_ROUTE, "slow", seconds=30)
    answer = await scene.call("shop.quick_pay", amount=1, **PAY)
    assert (answer["status"], answer["code"]) == ("unknown", "timeout")
    assert await scene.names(answer["id"]) == [*EXECUTED[:4], "outcome_unknown"]
    assert scene.ledger.arrived == {PAY_ROUTE: 1}, "never a second request"


async def test_a_connection_dropped_after_the_effect(scene: Governed) -> None:
    scene.misbehave(PAY_ROUTE, "drop_after")
    answer = await scene.call("shop.pay", amount=1, **PAY)
    assert (answer["status"], answer["code"]) == ("unknown", "disconnected")
    assert scene.ledger.executed == {PAY_ROUTE: 1}
    assert scene.ledger.arrived == {PAY_ROUTE: 1}


async def test_an_idempotent_function_is_run_again_under_the_same_key(scene: Governed) -> None:
    scene.misbehave(LOOK_ROUTE, "drop_before", times=2)
    answer = await scene.call("shop.look", id="c1")
    assert answer["status"] == "completed"
    assert await scene.names(answer["id"]) == [*EXECUTED[:3], *["execution_started"] * 3, *EXECUTED[4:]]
    assert scene.ledger.keys_arrived == {CallRef.parse(answer["id"]).call_id: 3}


async def test_an_idempotent_function_is_given_up_in_the_end(scene: Governed) -> None:
    scene.misbehave(LOOK_ROUTE, "drop_before", times=9)
    answer = await scene.call("shop.look", id="c1")
    assert (answer["status"], answer["code"]) == ("unknown", "disconnected")
    assert scene.ledger.arrived == {LOOK_ROUTE: 3}


async def test_a_redirect_is_an_answer_and_not_followed(scene: Governed) -> None:
    scene.misbehave(PAY_ROUTE, "redirect", location="/ping")
    answer = await scene.call("shop.pay", amount=1, **PAY)
    assert (answer["status"], answer["result"]["status"]) == ("completed", 307)
    assert scene.ledger.arrived == {PAY_ROUTE: 1}


# No raw value, anywhere but upstream


async def test_no_raw_value_but_where_it_belongs(scene: Governed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = []
    # A policy that fails on the number itself: Cedar's error quotes both factors.
    failing = await scene.call("shop.count", number=int(CARD))
    assert (failing["status"], failing["code"], failing["policies"]) == ("denied", "policy_error", ["too-much"])
    answers.append(failing)
    # Input that breaks its schema: the validator's error quotes it.
    answers.append(await scene.call("shop.pay", amount=CARD, currency=CARD, card_number=CARD))
    assert answers[-1]["code"] == "input_invalid"
    # An upstream that echoes its input in an error, and one that answers as it should.
    scene.misbehave(PAY_ROUTE, "echo_error", status=422)
    answers.append(await scene.call("shop.pay", amount=1, **PAY))
    assert answers[-1]["result"]["status"] == 422
    assert "[CREDIT_CARD]" in answers[-1]["result"]["body"]["detail"]
    answers.append(await scene.call("shop.pay", amount=1, **PAY))
    # An outcome that nobody knows, and a held-back call that a person sees.
    scene.misbehave(PAY_ROUTE, "drop_after")
    answers.append(await scene.call("shop.pay", amount=1, **PAY))
    ref, waiting = await asked(scene, amount=250, **PAY)
    await scene.until(ref, "approval_required")
    status, shown = await scene.request("GET", f"/v1/approvals/{ref}", "fay")
    assert status == 200
    assert shown["arguments"]["card_number"] == "[CREDIT_CARD]"
    await scene.vote(ref, "fay")
    answers += [shown, await waiting]

    assert CARD in scene.ledger.last[PAY_ROUTE]["body"], "the upstream got the real number"
    for secret in (CARD, TOKEN):
        assert secret not in json.dumps(answers)
        assert secret not in logged(caplog)
        assert secret not in await scene.metrics()
    for answer in answers:
        for recorded in (await scene.chain(answer["id"])).chain:
            assert CARD not in encode_event(recorded.event).decode()
            assert CARD not in repr(recorded)
    assert CARD.encode() not in await on_the_log(scene)
    found = scan(scene.folder / "broker", {"card": CARD, "credential": TOKEN})
    assert found.files > 0
    assert found.hits == []


async def test_names_that_an_agent_makes_up_stand_nowhere(scene: Governed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    unknown = await scene.call("x4111111111111111.jane_doe", amount=1)
    assert (unknown["status"], unknown["code"], unknown["function"]) == ("denied", "unknown_function", "unknown")
    assert await scene.names(unknown["id"]) == ["requested", "arguments_masked", "denied"]
    arguments: dict[str, Any] = {"Jane Doe, HIV positive": {"mail": "a@b.io"}, CARD: CARD}
    keys = await scene.call("shop.echo", **arguments)
    assert (keys["status"], keys["code"]) == ("denied", "input_invalid")
    masked = (await scene.chain(keys["id"])).last(ArgumentsMasked)
    assert masked is not None
    assert [finding.path for finding in masked.findings] == ["/*/mail", "/*", "/*"]
    answers = json.dumps([unknown, keys])
    text = "".join((logged(caplog), answers, await scene.metrics(), (await on_the_log(scene)).decode()))
    for secret in (CARD, "jane_doe", "Jane Doe"):
        assert secret not in text
