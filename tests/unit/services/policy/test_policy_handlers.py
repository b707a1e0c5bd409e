"""Step 3 on the log: what is judged, what the event says, and that what cannot be judged is denied."""

import json
import logging
from datetime import timedelta
from typing import Any, cast

import pytest
from memory_freezes import EVERYTHING, MemoryFreezes
from memory_log import AGENT, NOW, RITA, Calls, Clock, MemoryLog, MemorySealer, delivery

from callgate.cedar.policies import InvalidPolicies, PolicySet
from callgate.cedar.schema import cedar_schema
from callgate.errors import BrokerAway, LostRace, Rejected, Retryable
from callgate.ids import uuid7
from callgate.sealing import Place
from contracts.events import (
    Allowed,
    ApprovalRequired,
    ArgumentsAmended,
    ArgumentsMasked,
    Cancelled,
    Denied,
    EventData,
    GrantUse,
    InputProblem,
    Proof,
    Recorded,
    Requirement,
    make_event,
)
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from contracts.subjects import CallRef
from services.policy.domain import NO_POLICY_SET, Rules, SessionFacts, prepare
from services.policy.grants import GrantUses
from services.policy.handlers import Policy
from services.policy.sessions import Sessions
from services.policy.source import load_rules

CARD = "4111111111111111"
INPUT = {
    "type": "object",
    "required": ["amount"],
    "additionalProperties": False,
    "properties": {"amount": {"type": "number"}, "card": {"type": "string"}, "number": {"type": "integer"}},
}
CATALOG = Catalog(
    {"shop": HttpConnection(base_url="http://127.0.0.1:1", functions={"pay": FunctionSpec(path="/pay", input=INPUT)})}
)
PERMIT = '@id("bots-pay") permit(principal in Group::"bots", action == Action::"shop.pay", resource);'
LARGE = """@id("large") @approvers("finance") @expires("15m") forbid(principal, action == Action::"shop.pay", resource)
unless { context.approved || context.input.amount.lessThanOrEqual(decimal("100.0")) };"""
NEVER = '@id("never") forbid(principal, action == Action::"shop.pay", resource);'
# Cedar's validator refuses the first; should it ever stand in force, and for the second, which it cannot foresee:
CARD_IS_NO_DECIMAL = """@id("card-limit") forbid(principal, action == Action::"shop.pay", resource)
when { context.input has card && decimal(context.input.card).greaterThan(decimal("1.0")) };"""
CARD_OVERFLOWS = """@id("card-limit") forbid(principal, action == Action::"shop.pay", resource)
when { context.input has number && context.input.number * 10000 > 1 };"""
BUSY = """@id("busy") forbid(principal, action == Action::"shop.pay", resource)
when { context.session.executed > 2 };"""


class SessionsSoFar:
    """What a session did, as told; counts how often it was asked."""

    def __init__(self) -> None:
        self.facts: SessionFacts | BrokerAway = SessionFacts()
        self.asked = 0

    async def before(self, ref: CallRef) -> SessionFacts:
        self.asked += 1
        if isinstance(self.facts, BrokerAway):
            raise self.facts
        return self.facts


class Granted:
    """The use on which calls may go that would wait for people; counts how often it was asked for."""

    def __init__(self) -> None:
        self.given: GrantUse | None = None
        self.asked = 0

    async def use(self, *_: Any) -> GrantUse | None:
        self.asked += 1
        return self.given


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.log = MemoryLog(self.clock)
        self.sealer = MemorySealer()
        self.sessions = SessionsSoFar()
        self.freezes = MemoryFreezes()
        self.grants = Granted()
        self.heard_of: list[str] = []
        self.use(PERMIT, LARGE)
        self.policy = Policy(
            log=self.log,
            sealer=self.sealer.as_sealer,
            rules=self.in_force,
            sessions=cast(Sessions, self.sessions),
            freezes=self.freezes.as_book,
            grants=cast(GrantUses, self.grants),
            clock=self.clock,
        )

    async def in_force(self, function: str) -> Rules:
        """As policy's source gives them, which hears of a function before it is judged."""
        self.heard_of.append(function)
        return self.rules

    def use(self, *policies: str) -> None:
        self.rules = load_rules({"calls.cedar": "\n".join(policies)}, CATALOG)

    def calls(self, function: str = "shop.pay", **arguments: Any) -> Calls:
        return Calls(self.log, self.sealer, function, json.dumps({"amount": 40} | arguments).encode())

    async def judged(self, masked: Recorded) -> EventData:
        await self.policy.on_arguments_masked(masked, delivery())
        return self.head(masked)

    async def judged_again(self, approved: Recorded) -> EventData:
        await self.policy.on_approved(approved, delivery())
        return self.head(approved)

    def head(self, recorded: Recorded) -> EventData:
        head = self.log.call(recorded.ref).head
        assert head is not None
        return head.data


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_grant_stands_for_approval_and_is_named(scene: Scene) -> None:
    scene.grants.given = GrantUse(grant_id="g1", granted="c" * 64, number=2)
    allowed = await scene.judged(scene.calls(amount=250).masked())
    assert isinstance(allowed, Allowed)
    assert (allowed.grant, allowed.policies) == (scene.grants.given, ("bots-pay", "large"))


async def test_no_grant_is_asked_for_what_is_allowed_or_denied_anyway(scene: Scene) -> None:
    scene.grants.given = GrantUse(grant_id="g1", granted="c" * 64, number=2)
    allowed = await scene.judged(scene.calls().masked())
    assert isinstance(allowed, Allowed)
    assert allowed.grant is None
    scene.use(PERMIT, NEVER)
    assert isinstance(await scene.judged(scene.calls(amount=250).masked()), Denied)
    assert scene.grants.asked == 0


async def test_what_is_frozen_is_denied_whatever_policies_say(scene: Scene) -> None:
    scene.freezes.known = [EVERYTHING]
    for amount in (40, 250):
        denied = await scene.judged(scene.calls(amount=amount).masked())
        assert isinstance(denied, Denied)
        assert (denied.code, denied.freeze, denied.policies) == ("frozen", "f1", ())
    scene.freezes.known = []
    assert isinstance(await scene.judged(scene.calls().masked()), Allowed)


async def test_what_was_approved_is_denied_where_it_was_frozen_since(scene: Scene) -> None:
    approved = scene.calls(amount=250).approved()
    scene.freezes.known = [EVERYTHING]
    denied = await scene.judged_again(approved)
    assert isinstance(denied, Denied)
    assert (denied.code, denied.freeze) == ("frozen", "f1")


# The first judgement


async def test_allowed_names_what_decided_and_for_which_definition(scene: Scene) -> None:
    data = await scene.judged(scene.calls().masked())
    assert isinstance(data, Allowed)
    assert data.policies == ("bots-pay",)
    assert data.function_digest == CATALOG.digest_of("shop.pay")
    assert scene.rules.policies is not None
    assert data.policy_set == scene.rules.policies.digest


async def test_held_back_until_people_approve(scene: Scene) -> None:
    data = await scene.judged(scene.calls(amount=250).masked(view=b'{"amount":250}'))
    assert isinstance(data, ApprovalRequired)
    (requirement,) = data.requirements
    assert (requirement.policies, requirement.approvers, requirement.quorum) == (("large",), ("finance",), 1)
    assert requirement.expires_at == NOW + timedelta(minutes=15)
    assert data.facts == {"/amount": 250}


async def test_denied_by_policy(scene: Scene) -> None:
    scene.use(PERMIT, NEVER)
    data = await scene.judged(scene.calls().masked())
    assert isinstance(data, Denied)
    assert (data.code, data.policies) == ("forbidden", ("never",))


async def test_facts_are_those_of_the_view(scene: Scene) -> None:
    scene.use(
        PERMIT,
        """@id("no-visa") forbid(principal, action == Action::"shop.pay", resource)
        when { context.input has card && context.input.card like "4*" };""",
    )
    masked = scene.calls(card=CARD).masked(view=b'{"amount":40,"card":"[CREDIT_CARD]"}')
    data = await scene.judged(masked)
    assert isinstance(data, Denied)
    assert (data.policies, data.facts) == (("no-visa",), {"/card": "[CREDIT_CARD]"})


@pytest.mark.parametrize(
    ("policy", "arguments"), [(CARD_IS_NO_DECIMAL, {"card": CARD}), (CARD_OVERFLOWS, {"number": int(CARD)})]
)
async def test_a_policy_that_fails_denies_without_the_value(
    scene: Scene, caplog: pytest.LogCaptureFixture, policy: str, arguments: dict[str, Any]
) -> None:
    """Cedar's error quotes what it met (no decimal, an overflow), and Cedar alone would skip the forbid."""
    caplog.set_level(logging.DEBUG)
    scene.rules = prepare(CATALOG, PolicySet.load({"calls.cedar": PERMIT + policy}, cedar_schema(CATALOG)))
    data = await scene.judged(scene.calls(**arguments).masked(view=b'{"amount":40,"card":"[CREDIT_CARD]"}'))
    assert isinstance(data, Denied)
    assert (data.code, data.policies) == ("policy_error", ("card-limit",))
    assert CARD not in data.model_dump_json() + caplog.text


def test_a_decimal_of_an_argument_is_refused_before_it_is_in_force() -> None:
    with pytest.raises(InvalidPolicies):
        load_rules({"calls.cedar": PERMIT + CARD_IS_NO_DECIMAL}, CATALOG)
    load_rules({"calls.cedar": PERMIT + CARD_OVERFLOWS}, CATALOG)


async def test_input_that_breaks_the_schema_is_named_by_place(scene: Scene) -> None:
    data = await scene.judged(scene.calls(amount=CARD).masked())
    assert isinstance(data, Denied)
    assert (data.code, [(p.pointer, p.keyword) for p in data.problems]) == ("input_invalid", [("/amount", "type")])
    assert CARD not in data.model_dump_json()


async def test_an_unknown_function_is_denied(scene: Scene) -> None:
    data = await scene.judged(scene.calls("shop.steal").masked())
    assert isinstance(data, Denied)
    assert (data.code, data.function_digest) == ("unknown_function", "0" * 64)


async def test_a_function_is_heard_of_before_it_is_judged(scene: Scene) -> None:
    await scene.judged(scene.calls().masked())
    assert scene.heard_of == ["shop.pay"]


async def test_without_rules_all_is_denied(scene: Scene) -> None:
    scene.rules = Rules(None, {})
    data = await scene.judged(scene.calls().masked())
    assert isinstance(data, Denied)
    assert (data.code, data.policy_set) == ("no_policy", NO_POLICY_SET)


async def test_what_masking_could_not_inspect_is_denied(scene: Scene) -> None:
    data = await scene.judged(scene.calls().masked(uninspectable=("too_deep",)))
    assert isinstance(data, Denied)
    assert data.code == "uninspectable"


@pytest.mark.parametrize("code", ["token_invalid", "token_not_allowed"])
async def test_a_token_that_was_not_resolved_is_denied_by_its_own_name(scene: Scene, code: str) -> None:
    there, elsewhere = InputProblem(pointer="/card", keyword=code), InputProblem(pointer="/x", keyword="token_other")
    masked = scene.calls().masked(uninspectable=("too_deep", code), refused_tokens=(elsewhere, there))
    data = await scene.judged(masked)
    assert isinstance(data, Denied)
    assert (data.code, data.problems) == (code, (there,))


async def test_arguments_that_masking_withheld_are_denied(scene: Scene) -> None:
    requested = scene.calls().requested()
    withheld = ArgumentsMasked(
        function="shop.pay",
        principal=scene.log.call(requested.ref).requested.principal,
        arguments=None,
        view=None,
        uninspectable=("syntax",),
    )
    data = await scene.judged(scene.log.put(requested.ref, withheld))
    assert isinstance(data, Denied)
    assert data.code == "uninspectable"


async def test_arguments_that_do_not_open_are_denied(scene: Scene) -> None:
    masked = scene.calls().masked()
    scene.sealer.errors.append(Rejected("key_missing"))
    data = await scene.judged(masked)
    assert isinstance(data, Denied)
    assert data.code == "uninspectable"


async def test_the_session_is_read_only_where_a_policy_asks(scene: Scene) -> None:
    await scene.judged(scene.calls().masked())
    assert scene.sessions.asked == 0
    scene.use(PERMIT, BUSY)
    scene.sessions.facts = SessionFacts(calls=5, executed=3)
    data = await scene.judged(scene.calls().masked())
    assert isinstance(data, Denied)
    assert (data.policies, scene.sessions.asked) == (("busy",), 1)


async def test_a_session_that_cannot_be_read_is_waited_for(scene: Scene) -> None:
    scene.use(PERMIT, BUSY)
    scene.sessions.facts = BrokerAway()
    masked = scene.calls().masked()
    with pytest.raises(BrokerAway):
        await scene.judged(masked)
    assert scene.log.names(masked.ref) == ["requested", "arguments_masked"]


async def test_payloads_that_are_away_are_waited_for(scene: Scene) -> None:
    masked = scene.calls().masked()
    scene.sealer.errors.append(BrokerAway())
    with pytest.raises(BrokerAway):
        await scene.judged(masked)
    assert scene.log.names(masked.ref) == ["requested", "arguments_masked"]


async def test_a_call_withdrawn_meanwhile_gets_no_decision(scene: Scene) -> None:
    masked = scene.calls().masked()
    scene.log.put(masked.ref, Cancelled(by="bot", code="withdrawn"))
    with pytest.raises(LostRace):
        await scene.judged(masked)


@pytest.mark.parametrize("fault", ["away", "stored"])
async def test_a_decision_is_written_once(scene: Scene, fault: Any) -> None:
    masked = scene.calls().masked()
    scene.log.faults["allowed"] = [fault]
    with pytest.raises(BrokerAway):
        await scene.judged(masked)
    if fault == "stored":
        scene.use(PERMIT, NEVER)  # what stands is the decision, whatever policies say by now
        with pytest.raises(LostRace):
            await scene.judged(masked)
    else:
        await scene.judged(masked)
    assert scene.log.names(masked.ref) == ["requested", "arguments_masked", "allowed"]


# Amended


def amended(scene: Scene, **arguments: Any) -> Recorded:
    """A reviewer changed the arguments of a call that waits, and masking has answered."""
    asked = scene.log.call(scene.calls(amount=250).approved().ref)
    ref = scene.calls(amount=250).masked().ref
    question = asked.last(ApprovalRequired)
    assert question is not None
    asked_at = scene.log.put(ref, question)
    proof = Proof(issuer=RITA.issuer, subject=RITA.id, digest=asked_at.digest)
    scene.clock.advance(60)
    sealed = scene.sealer.put(b"[]", Place(ref, asked_at.event.event_id, "patch"), "raw")
    answered = scene.log.put(ref, ArgumentsAmended(author=RITA, patch=sealed, proof=proof))
    event_id, body = uuid7(), json.dumps(arguments).encode()
    data = ArgumentsMasked(
        function="shop.pay",
        principal=AGENT,
        arguments=scene.sealer.put(body, Place(ref, event_id, "arguments"), "raw"),
        view=scene.sealer.put(body, Place(ref, event_id, "view"), "view"),
        amended=True,
    )
    return scene.log.write(make_event(event_id, ref, scene.clock(), answered.digest, data), ref)


async def test_amended_arguments_wait_for_people_even_where_policies_would_let_them_pass(scene: Scene) -> None:
    scene.grants.given = GrantUse(grant_id="g1", granted="c" * 64, number=2)
    masked = amended(scene, amount=40)
    data = await scene.judged(masked)
    assert isinstance(data, ApprovalRequired)
    (requirement,) = data.requirements
    assert requirement.expires_at == scene.clock() + timedelta(minutes=15)
    assert scene.grants.asked == 0, "whoever amended may be who granted"
    assert scene.log.call(masked.ref).state == "approval_required"


async def test_amended_arguments_that_policies_forbid_are_denied(scene: Scene) -> None:
    scene.use(PERMIT, NEVER)
    data = await scene.judged(amended(scene, amount=40))
    assert isinstance(data, Denied)
    assert data.policies == ("never",)


async def test_an_amendment_that_did_not_apply_is_denied_by_its_name(scene: Scene) -> None:
    masked = amended(scene, amount=40)
    nothing = {"arguments": None, "view": None, "uninspectable": ("patch_does_not_apply",)}
    (*before, _) = scene.log.events[masked.ref]
    scene.log.events[masked.ref] = before
    data = await scene.judged(scene.log.put(masked.ref, masked.data.model_copy(update=nothing)))
    assert isinstance(data, Denied)
    assert data.code == "patch_does_not_apply"


async def test_an_amendment_that_was_answered_is_left_alone(scene: Scene) -> None:
    masked = amended(scene, amount=40)
    for number in (1, 2):
        await scene.policy.on_arguments_masked(masked, delivery(number))
    assert scene.log.names(masked.ref)[-2:] == ["arguments_masked", "approval_required"]
    assert not scene.log.call(masked.ref).aliens


async def test_arguments_that_only_claim_to_be_amended_are_left_alone(scene: Scene) -> None:
    masked = scene.calls(amount=40).masked()
    claimed = make_event(
        uuid7(), masked.ref, NOW, masked.event.follows, masked.data.model_copy(update={"amended": True})
    )
    scene.log.events[masked.ref].pop()
    await scene.policy.on_arguments_masked(scene.log.write(claimed, masked.ref), delivery())
    assert scene.log.names(masked.ref) == ["requested"]


# The judgement after approval


async def test_approved_and_still_fine(scene: Scene) -> None:
    data = await scene.judged_again(scene.calls(amount=250).approved())
    assert isinstance(data, Allowed)
    assert data.policies == ("bots-pay", "large")


async def test_approved_and_forbidden_since(scene: Scene) -> None:
    approved = scene.calls(amount=250).approved()
    scene.use(PERMIT, LARGE, NEVER)
    data = await scene.judged_again(approved)
    assert isinstance(data, Denied)
    assert (data.code, data.policies) == ("forbidden", ("never",))


@pytest.mark.parametrize("change", ['@quorum("2") @approvers("finance")', '@approvers("sre")'])
async def test_approved_by_fewer_or_others_than_policies_ask_for_by_now(scene: Scene, change: str) -> None:
    approved = scene.calls(amount=250).approved()
    scene.use(PERMIT, LARGE.replace('@approvers("finance")', change))
    data = await scene.judged_again(approved)
    assert isinstance(data, Denied)
    assert data.code == "approval_insufficient"


async def test_approved_and_no_policies_left(scene: Scene) -> None:
    approved = scene.calls(amount=250).approved()
    scene.rules = Rules(None, {})
    data = await scene.judged_again(approved)
    assert isinstance(data, Denied)
    assert data.code == "no_policy"


async def test_an_approval_that_was_answered_is_left_alone(scene: Scene) -> None:
    approved = scene.calls(amount=250).approved()
    for number in (1, 2):
        await scene.policy.on_approved(approved, delivery(number))
    assert scene.log.names(approved.ref)[-2:] == ["approved", "allowed"]


async def test_an_approval_of_another_call_is_left_alone(scene: Scene) -> None:
    """A copy of it on the subjects of a call that waits: no part of that chain, so nothing to judge."""
    waiting, elsewhere = scene.calls(amount=250).masked(), scene.calls(amount=250).approved()
    held = await scene.judged(waiting)
    assert isinstance(held, ApprovalRequired)
    copy = Recorded(waiting.ref, 3, NOW, elsewhere.digest, elsewhere.key_id, elsewhere.event)
    await scene.policy.on_approved(copy, delivery())
    assert scene.head(waiting) is held


async def test_a_requirement_that_expired_by_now_does_not_undo_what_was_met(scene: Scene) -> None:
    """Votes are bound to their time by the fold; judged is whether they meet what policies ask for today."""
    soon = NOW + timedelta(seconds=1)
    requirement = Requirement(policies=("large",), approvers=("finance",), quorum=1, expires_at=soon)
    approved = scene.calls(amount=250).approved(requirement)
    scene.clock.advance(3600)
    assert isinstance(await scene.judged_again(approved), Allowed)


async def test_a_chain_that_cannot_be_read_is_waited_for(scene: Scene) -> None:
    approved = scene.calls(amount=250).approved()
    scene.log.unreadable = 1
    with pytest.raises(BrokerAway):
        await scene.judged_again(approved)
    assert isinstance(await scene.judged_again(approved), Allowed)


async def test_votes_under_a_key_that_our_ring_does_not_know_yet_are_waited_for(scene: Scene) -> None:
    approved = scene.calls(amount=250).approved()
    (vote,) = [one for one in scene.log.events[approved.ref] if one.name == "vote_cast"]
    scene.log.strangers.add(vote.digest)
    with pytest.raises(Retryable, match="chain_incomplete"):
        await scene.policy.on_approved(approved, delivery())
    scene.log.strangers.clear()
    scene.log.behind = 1
    with pytest.raises(Retryable, match="chain_incomplete"):
        await scene.policy.on_approved(approved, delivery(2))
    assert isinstance(await scene.judged_again(approved), Allowed)
