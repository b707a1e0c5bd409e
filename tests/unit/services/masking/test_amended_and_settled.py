"""Steps 2 and 7 after a person changed the arguments, or said what came of a call: masked as everything else."""

import hashlib
import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from hints_book import HintsBook
from memory_log import NOW, RITA, Calls, Clock, MemoryLog, MemorySealer, delivery

from callgate.errors import BrokerAway, Rejected
from callgate.ids import uuid7
from callgate.json_patch import BadPatch, checked_patch
from callgate.jsontext import dump
from callgate.masking_settings import StrategySettings
from callgate.sealing import Place
from contracts.events import (
    ApprovalRequired,
    ArgumentsAmended,
    ArgumentsMasked,
    Cancelled,
    EventData,
    ExecutionStarted,
    OutcomeSettled,
    OutcomeUnknown,
    Proof,
    Recorded,
    Requirement,
    ResultMasked,
    make_event,
)
from contracts.subjects import CallRef
from services.masking.amending import amend
from services.masking.handlers import Masking
from services.masking.hints import hints_of
from services.masking.strategies import Strategies
from services.masking.tokens import SessionSecrets

CARD, OTHER = "4111111111111111", "5555555555554444"
PROPERTIES = {"card": {"type": "string"}, "account": {"x-callgate-accepts": ["CREDIT_CARD"]}, "url": {"type": "string"}}
HINTS = HintsBook({"shop.pay": hints_of({"type": "object", "properties": PROPERTIES})})
OUTPUTS = HintsBook({"shop.pay": hints_of({"properties": {"holder": {"x-callgate-mask": "PERSON"}}})})
ARGUMENTS = {"amount": 400, "card": CARD, "note": "for ann@example.com"}


class Scene:
    def __init__(self, **strategies: Any) -> None:
        self.log = MemoryLog(Clock())
        self.sealer = MemorySealer()
        self.masking = Masking(
            self.log,
            self.sealer.as_sealer,
            HINTS,
            OUTPUTS,
            self.log.clock,
            strategies=Strategies.of(StrategySettings.model_validate(strategies)),
        )

    def put(self, ref: CallRef, event_id: str, data: EventData) -> Recorded:
        return self.log.write(make_event(event_id, ref, NOW, self.log.call(ref).head_digest, data), ref)

    async def asked(self, arguments: Any) -> CallRef:
        """A call that waits for people."""
        requested = Calls(self.log, self.sealer, "shop.pay", dump(arguments)).requested()
        await self.masking.on_requested(requested, delivery())
        self.ask(requested.ref)
        return requested.ref

    def ask(self, ref: CallRef) -> None:
        wanted = Requirement(
            policies=("large",), approvers=("finance",), quorum=1, expires_at=NOW + timedelta(minutes=15)
        )
        question = ApprovalRequired(policy_set="a" * 64, function_digest="b" * 64, requirements=(wanted,))
        self.log.put(ref, question)

    def amended(self, ref: CallRef, *patch: dict[str, Any], raw: bytes | None = None) -> Recorded:
        event_id = uuid7()
        sealed = self.sealer.put(dump(list(patch)) if raw is None else raw, Place(ref, event_id, "patch"), "raw")
        proof = Proof(issuer=RITA.issuer, subject=RITA.id, digest=self.log.call(ref).open_question)
        return self.put(ref, event_id, ArgumentsAmended(author=RITA, patch=sealed, proof=proof))

    async def masked(self, amended: Recorded) -> ArgumentsMasked:
        await self.masking.on_arguments_amended(amended, delivery())
        head = self.log.call(amended.ref).head
        assert head is not None
        assert isinstance(head.data, ArgumentsMasked)
        assert head.data.amended
        return head.data

    async def opened(self, ref: CallRef) -> tuple[Any, Any]:
        """The effective arguments, and their view."""
        head = self.log.call(ref).last_recorded(ArgumentsMasked)
        assert head is not None
        data = head.data
        assert isinstance(data, ArgumentsMasked)
        assert data.arguments is not None
        assert data.view is not None
        event_id = head.event.event_id
        raw = await self.sealer.open(data.arguments, Place(ref, event_id, "arguments"), "raw")
        return json.loads(raw), json.loads(await self.sealer.open(data.view, Place(ref, event_id, "view"), "view"))

    def token(self, ref: CallRef, value: Any = CARD) -> str:
        secret = hashlib.sha512(f"{ref.session_id} disguise".encode()).digest()
        token = SessionSecrets.of(ref.session_id, secret).seal("CREDIT_CARD", value)
        assert token is not None
        return token


@pytest.fixture
def scene() -> Scene:
    return Scene()


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


# 2, again


async def test_the_patch_is_applied_to_what_is_real_and_masked_anew(scene: Scene) -> None:
    ref = await scene.asked(ARGUMENTS)
    data = await scene.masked(scene.amended(ref, replace("/amount", 40), {"op": "remove", "path": "/note"}))
    assert await scene.opened(ref) == ({"amount": 40, "card": CARD}, {"amount": 40, "card": "[CREDIT_CARD]"})
    assert [(finding.path, finding.entity) for finding in data.findings] == [("/card", "CREDIT_CARD")]
    assert data.uninspectable == ()


async def test_what_a_patch_brings_is_masked_as_all_else(scene: Scene) -> None:
    ref = await scene.asked(ARGUMENTS)
    data = await scene.masked(scene.amended(ref, replace("/card", OTHER)))
    assert await scene.opened(ref) == (ARGUMENTS | {"card": OTHER}, ARGUMENTS | {"card": "[CREDIT_CARD]", "note": NOTE})
    assert OTHER not in data.model_dump_json()


NOTE = "for [EMAIL_ADDRESS]"


async def test_a_second_amendment_stands_on_the_first(scene: Scene) -> None:
    ref = await scene.asked(ARGUMENTS)
    await scene.masked(scene.amended(ref, replace("/amount", 40), {"op": "add", "path": "/tags", "value": ["a"]}))
    scene.ask(ref)
    await scene.masked(scene.amended(ref, {"op": "add", "path": "/tags/-", "value": "b"}))
    effective, _ = await scene.opened(ref)
    assert effective == ARGUMENTS | {"amount": 40, "tags": ["a", "b"]}


@pytest.mark.parametrize("value", [CARD, int(CARD), "Ann Smith"])
async def test_what_a_token_of_the_agent_stands_for_is_hidden_as_before(scene: Scene, value: Any) -> None:
    """The value alone might not be found: in the view the token stands, before and after an amendment."""
    requested = Calls(scene.log, scene.sealer, "shop.pay", b"{}").requested()
    token = scene.token(requested.ref, value)
    scene.sealer.held[requested.data.arguments.key_id] = (  # type: ignore[attr-defined]
        dump({"account": token, "amount": 400}),
        Place(requested.ref, requested.event.event_id, "arguments"),
        "raw",
    )
    await scene.masking.on_requested(requested, delivery())
    scene.ask(requested.ref)
    await scene.masked(scene.amended(requested.ref, replace("/amount", 40)))
    effective, view = await scene.opened(requested.ref)
    assert effective == {"account": value, "amount": 40}
    assert view == {"account": token, "amount": 40}


@pytest.mark.parametrize(("place", "refused"), [("account", ()), ("url", ("token_not_allowed",))])
async def test_a_token_in_a_patch_is_resolved_where_an_agents_would_be(
    scene: Scene, place: str, refused: tuple[str, ...]
) -> None:
    ref = await scene.asked(ARGUMENTS)
    token = scene.token(ref)
    data = await scene.masked(scene.amended(ref, {"op": "add", "path": f"/{place}", "value": token}))
    effective, view = await scene.opened(ref)
    assert data.uninspectable == refused
    assert effective[place] == (token if refused else CARD)
    assert view[place] == token


@pytest.mark.parametrize(
    "patch",
    [
        [replace("/nothing", 1)],
        [{"op": "add", "path": "/amount/0", "value": 1}],
        [replace("/amount", 40), {"op": "remove", "path": "/nothing"}],
    ],
)
async def test_a_patch_that_does_not_apply_leaves_nothing_to_run(
    scene: Scene, patch: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    ref = await scene.asked(ARGUMENTS)
    data = await scene.masked(scene.amended(ref, *patch))
    assert (data.arguments, data.view, data.uninspectable) == (None, None, ("patch_does_not_apply",))
    assert CARD not in caplog.text


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"[]", "bad_patch"), (b'[{"op":"test","path":"/amount","value":400}]', "bad_patch"), (b"{", "syntax")],
)
async def test_what_is_no_patch_leaves_nothing_to_run(scene: Scene, raw: bytes, code: str) -> None:
    ref = await scene.asked(ARGUMENTS)
    data = await scene.masked(scene.amended(ref, raw=raw))
    assert (data.arguments, data.uninspectable) == (None, (code,))


async def test_a_patch_that_does_not_open_leaves_nothing_to_run(scene: Scene) -> None:
    amended = scene.amended(await scene.asked(ARGUMENTS), replace("/amount", 40))
    scene.sealer.errors.append(Rejected("key_missing"))
    data = await scene.masked(amended)
    assert (data.arguments, data.uninspectable) == (None, ("key_missing",))


async def test_an_index_of_a_view_that_leaves_items_out_is_refused() -> None:
    """The author saw `["a"]` and would change somebody else's address."""
    scene = Scene(default="drop")
    ref = await scene.asked({"to": ["ann@example.com", "a"], "amount": 400})
    assert (await scene.opened(ref))[1] == {"to": ["a"], "amount": 400}
    data = await scene.masked(scene.amended(ref, replace("/to/0", "b")))
    assert (data.arguments, data.uninspectable) == (None, ("patch_does_not_apply",))


async def test_an_amendment_is_answered_once(scene: Scene) -> None:
    ref = await scene.asked(ARGUMENTS)
    amended = scene.amended(ref, replace("/amount", 40))
    scene.log.faults["arguments_masked"] = ["stored"]
    with pytest.raises(BrokerAway):
        await scene.masking.on_arguments_amended(amended, delivery())
    await scene.masking.on_arguments_amended(amended, delivery(2))
    assert scene.log.names(ref)[-2:] == ["arguments_amended", "arguments_masked"]
    assert not scene.log.call(ref).aliens


async def test_an_amendment_outside_of_the_chain_is_left_alone(scene: Scene) -> None:
    ref = await scene.asked(ARGUMENTS)
    scene.log.put(ref, Cancelled(by="bot", code="withdrawn"))
    await scene.masking.on_arguments_amended(scene.amended(ref, replace("/amount", 40)), delivery())
    assert scene.log.names(ref)[-1] == "cancelled"
    assert len(scene.log.events[ref]) == 5, "the amendment, and nothing that answers it"


async def test_nothing_of_a_patch_is_logged(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ref = await scene.asked(ARGUMENTS)
    data = await scene.masked(scene.amended(ref, replace(f"/{OTHER}", OTHER)))
    assert OTHER not in caplog.text + data.model_dump_json()


# Where a patch may be done


@pytest.mark.parametrize(
    ("document", "view", "operation"),
    [
        pytest.param({"a@b.c": 1}, {"[EMAIL]": 1}, replace("/[EMAIL]", 2), id="a masked key"),
        pytest.param({"a@b.c": 1}, {"[EMAIL]": 1}, {"op": "add", "path": "/[EMAIL]", "value": 2}, id="beside it"),
        pytest.param({"pin": 1}, {}, {"op": "add", "path": "/pin", "value": 2}, id="a member that was left out"),
        pytest.param([1, 2], [2], {"op": "add", "path": "/-", "value": 2}, id="an item that was left out"),
        pytest.param({"x": {"y": 1}}, {"x": "[PERSON]"}, replace("/x/y", 2), id="masked whole"),
    ],
)
def test_a_place_that_the_view_does_not_show_is_not_amended(document: Any, view: Any, operation: Any) -> None:
    with pytest.raises(BadPatch) as refused:
        amend(document, view, checked_patch([operation]))
    assert refused.value.code == "patch_does_not_apply"


@pytest.mark.parametrize(
    ("document", "view", "operation", "result"),
    [
        ({"card": CARD}, {"card": "[CREDIT_CARD]"}, replace("/card", "x"), {"card": "x"}),
        ({"x": {"y": [CARD]}}, {"x": {"y": ["[C]"]}}, {"op": "remove", "path": "/x/y/0"}, {"x": {"y": []}}),
        ({"x": [CARD]}, {"x": "[C]"}, {"op": "remove", "path": "/x"}, {}),
        ({}, {}, {"op": "add", "path": "/x", "value": 1}, {"x": 1}),
    ],
)
def test_a_masked_value_is_replaced_without_being_known(document: Any, view: Any, operation: Any, result: Any) -> None:
    assert amend(document, view, checked_patch([operation])) == result


def test_places_are_compared_as_they_are_after_what_came_before() -> None:
    patch = checked_patch([{"op": "add", "path": "/x/-", "value": 2}, replace("/x/1", 3)])
    assert amend({"x": [CARD]}, {"x": ["[C]"]}, patch) == {"x": [CARD, 3]}


# 7, settled


async def settled(scene: Scene, outcome: str, result: bytes | None = None) -> Recorded:
    ref = Calls(scene.log, scene.sealer).allowed("b" * 64).ref
    unknown = scene.log.put(
        ref, ExecutionStarted(instance="e1", attempt=1, deadline=NOW), OutcomeUnknown(code="timeout")
    )
    event_id = uuid7()
    sealed = None if result is None else scene.sealer.put(result, Place(ref, event_id, "result"), "raw")
    proof = Proof(issuer=RITA.issuer, subject=RITA.id, digest=unknown.digest)
    reason = scene.sealer.put(b"looked", Place(ref, event_id, "reason"), "view")
    data = {"by": RITA, "outcome": outcome, "result": sealed, "reason": reason, "proof": proof}
    return scene.put(ref, event_id, OutcomeSettled.model_validate(data))


async def told(scene: Scene, recorded: Recorded) -> tuple[ResultMasked, bytes | None]:
    await scene.masking.on_outcome_settled(recorded, delivery())
    head = scene.log.call(recorded.ref).head
    assert head is not None
    assert isinstance(head.data, ResultMasked)
    if head.data.view is None:
        return head.data, None
    place = Place(head.ref, head.event.event_id, "view")
    return head.data, await scene.sealer.open(head.data.view, place, "view")


async def test_a_result_that_a_person_gives_is_masked_as_the_functions_own(scene: Scene) -> None:
    data, view = await told(scene, await settled(scene, "done", dump({"holder": "Jo", "card": CARD})))
    assert view == b'{"holder":"[PERSON]","card":"[CREDIT_CARD]"}'
    assert (data.status, data.content_type, data.withheld) == (200, "application/json", None)


async def test_done_without_a_result_is_a_result_without_content(scene: Scene) -> None:
    data, view = await told(scene, await settled(scene, "done"))
    assert (data.status, data.content_type, view, data.withheld) == (204, None, b"", None)


async def test_a_result_that_is_no_json_is_withheld(scene: Scene) -> None:
    data, view = await told(scene, await settled(scene, "done", b"it worked"))
    assert (view, data.withheld) == (None, "malformed_json")


@pytest.mark.parametrize("outcome", ["not_done", "run_again"])
async def test_what_is_not_done_has_no_result(scene: Scene, outcome: str) -> None:
    recorded = await settled(scene, outcome)
    await scene.masking.on_outcome_settled(recorded, delivery())
    assert scene.log.names(recorded.ref)[-1] == "outcome_settled"


async def test_a_settlement_is_answered_once(scene: Scene) -> None:
    recorded = await settled(scene, "done")
    for number in (1, 2):
        await scene.masking.on_outcome_settled(recorded, delivery(number))
    assert scene.log.names(recorded.ref)[-2:] == ["outcome_settled", "result_masked"]
    assert not scene.log.call(recorded.ref).aliens
