"""The rules of approval on a real broker: who is told when, races of replicas, and whole calls under each rule."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from approval_scene import POLICIES, Scene, eventually, requirement, scene
from broker_fixtures import connected
from doors import serving
from governed_scene import PAY, PAY_ROUTE, Governed, governed

from callgate import keys
from callgate.cedar.published import PublishedPolicies
from callgate.delivery import now
from callgate.errors import BrokerAway
from callgate.platform import Platform
from callgate.service import Service
from callgate.streams import APPROVAL_TIMERS
from contracts.events import ApprovalExpired, Approved, Escalation, Recorded, Rejected, Requirement, VoteCast
from contracts.identity import Principal, Role
from contracts.lifecycle import Call
from contracts.subjects import TIMERS, CallRef, deliver_subject
from services.approval.domain import Decision, DecisionRefused, Intent, Question
from services.approval.handlers import Deciding
from services.approval.masked_inputs import MaskedInputs
from services.approval.people import Rights
from services.approval.repository import Approvals
from services.approval.timers import Timers
from services.approval.views import Views
from services.approval.waiting import QUESTIONS, Waiting

OTHERS = """
@id("others-approve")
permit(principal, action == Action::"approve", resource)
when { principal in Group::"leads" || principal in Group::"commanders" || principal in Group::"sre" };
"""


class Heard:
    """A channel that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[tuple[str, CallRef, Question, tuple[str, ...]]] = asyncio.Queue()

    async def reminder(self, ref: CallRef, facts: Question) -> None:
        self.said.put_nowait(("reminder", ref, facts, ()))

    async def escalated(self, ref: CallRef, facts: Question, groups: tuple[str, ...]) -> None:
        self.said.put_nowait(("escalated", ref, facts, groups))

    async def next(self, kind: str) -> tuple[Question, tuple[str, ...]]:
        """The next word of this kind; another one in between may only repeat what was said before."""
        async with asyncio.timeout(20):
            while True:
                heard, ref, facts, groups = await self.said.get()
                assert facts.ref == ref
                if heard == kind:
                    return facts, groups


@contextlib.asynccontextmanager
async def replica(stage: Scene, heard: Heard) -> AsyncIterator[Deciding]:
    """The service without its doors, with that channel."""
    built: list[Deciding] = []

    async def build(platform: Platform) -> Service:
        policies = PublishedPolicies(platform.records, platform.catalog)
        views = Views(platform.client, platform.verifier, platform.sealer)
        waiting = Waiting(QUESTIONS, platform.client, platform.log, platform.verifier, platform.partitions)
        approval = Deciding(
            approvals=Approvals(platform.log),
            sealer=platform.sealer,
            rights=Rights(policies, platform.catalog, MaskedInputs(views, platform.catalog), platform.clock),
            timers=Timers(platform.client),
            notices=heard,
            waiting=waiting,
            clock=platform.clock,
            sweep_every=0.2,
        )
        built.append(approval)
        await policies.refresh()
        return Service(
            role=Role.APPROVAL,
            events={"approval_required": approval.on_approval_required, "vote_cast": approval.on_vote_cast},
            deliveries={deliver_subject(APPROVAL_TIMERS): approval.on_timer_due},
            background=(policies.follow, waiting.follow, approval.keep_time),
        )

    async with serving(stage.here, (Role.APPROVAL, build)):
        yield built[0]


def member(name: str, *groups: str) -> Principal:
    return Principal(id=name, issuer="https://issuer.example", groups=groups)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, POLICIES + OTHERS) as stage:
        yield stage


def soon(seconds: float, *groups: str, **more: Any) -> Requirement:
    """Expires in so many seconds."""
    return requirement(*groups, at=now() + timedelta(seconds=seconds)).model_copy(update=more)


async def test_people_are_told_reminded_and_others_asked_by_timers(stage: Scene) -> None:
    heard = Heard()
    async with replica(stage, heard) as approval:
        later = Escalation(approvers=("leads",), at=now() + timedelta(seconds=1.2))
        asked = await stage.ask(soon(60, remind_at=now() + timedelta(seconds=0.6), escalation=later))
        facts, _ = await approval.look(asked.ref, member("fina", "finance"))
        assert facts.asked_groups(facts.asked_at) == {"finance"}
        lea = member("lea", "leads")
        with pytest.raises(DecisionRefused, match="not_an_approver"):
            await approval.vote(asked.ref, lea, Intent("approve", asked.digest, None))
        facts, _ = await heard.next("reminder")
        assert facts.remind_at is not None
        assert facts.remind_at <= now()
        facts, groups = await heard.next("escalated")
        assert groups == ("leads",)
        assert later.at <= now()
        facts = await approval.vote(asked.ref, lea, Intent("approve", asked.digest, None))
        assert (facts.state, facts.broken_glass) == ("approved", None)


async def test_what_nobody_decides_expires_by_its_timer(stage: Scene) -> None:
    async with replica(stage, Heard()):
        asked = await stage.ask(soon(1))

        async def expired() -> bool | None:
            return isinstance((await stage.chain(asked.ref))[-1], ApprovalExpired) or None

        await eventually(expired)


async def test_reminders_and_escalations_come_from_the_log_where_their_timers_were_wiped(stage: Scene) -> None:
    first, second = Heard(), Heard()
    async with replica(stage, first):
        at = now() + timedelta(seconds=4)
        asked = await stage.ask(soon(60, remind_at=at, escalation=Escalation(approvers=("leads",), at=at)))
        users = {Role.PROVISIONER: keys.read_password(stage.here.settings.keys_folder, Role.PROVISIONER)}
        async with connected(stage.here.broker.url, Role.PROVISIONER, users) as user:
            timers = user.nc.jetstream()

            async def all_set() -> bool | None:
                return (await timers.stream_info(TIMERS)).state.messages >= 3 or None

            await eventually(all_set)
    async with connected(stage.here.broker.url, Role.PROVISIONER, users) as user:
        assert await user.nc.jetstream().purge_stream(TIMERS)
    async with replica(stage, second):
        for kind in ("reminder", "escalated"):
            facts, _ = await second.next(kind)
            assert facts.digest == asked.digest
    assert first.said.empty()


async def test_broken_glass_is_recorded(stage: Scene) -> None:
    ida = member("ida", "commanders")
    async with replica(stage, Heard()) as approval:
        asked = await stage.ask(
            requirement(quorum=3).model_copy(update={"break_glass": ("commanders",), "reason_required": True})
        )
        for alone, reason, code in ((False, "x", "only_by_breaking_glass"), (True, None, "reason_required")):
            with pytest.raises(DecisionRefused, match=code):
                await approval.vote(asked.ref, ida, Intent("approve", asked.digest, reason, alone))
        own = member("rosa", "commanders")
        with pytest.raises(DecisionRefused, match="own_call"):
            await approval.vote(asked.ref, own, Intent("approve", asked.digest, "mine", True))
        question = await approval.vote(asked.ref, ida, Intent("approve", asked.digest, "the site is down", True))
        assert question.state == "approved"
        assert question.broken_glass is not None
        assert question.broken_glass.reviewer == "ida"
        assert question.concerned == {"finance", "commanders"}
    (vote,) = (data for data in await stage.chain(asked.ref) if isinstance(data, VoteCast))
    assert vote.break_glass
    assert vote.reason is not None
    assert "site is down" not in vote.model_dump_json()


Cast = Callable[[Deciding], Awaitable[Question]]


def a_vote(asked: Recorded, who: Principal, decision: Decision = "approve") -> Cast:
    return lambda approval: approval.vote(asked.ref, who, Intent(decision, asked.digest, None))


async def race(votes: list[Cast], *replicas: Deciding) -> list[str]:
    """All at once, turn by turn on each replica: the state after each that was taken, the code of each that was not."""
    said = await asyncio.gather(
        *(vote(replicas[number % len(replicas)]) for number, vote in enumerate(votes)), return_exceptions=True
    )
    codes: list[str] = []
    for one in said:
        if isinstance(one, DecisionRefused):
            codes.append(one.code.value)
        else:
            assert isinstance(one, Question | BrokerAway), one
            codes.append(one.state if isinstance(one, Question) else "away")
    return codes


async def test_fifty_people_click_twice_on_two_replicas(stage: Scene) -> None:
    groups = [("finance",)] * 22 + [("sre",)] * 22 + [("finance", "sre")] * 6
    people = [member(f"p{number}", *mine) for number, mine in enumerate(groups)]
    async with replica(stage, Heard()) as one, replica(stage, Heard()) as two:
        asked = await stage.ask(requirement("finance", "sre", quorum=22).model_copy(update={"each": True}))
        # The two clicks of a person go to both replicas.
        clicks = list(chain.from_iterable((a_vote(asked, who), a_vote(asked, who)) for who in people))
        codes = Counter(await race(clicks, one, two))
        await stage.until(asked.ref, "approved")
    assert set(codes) <= {"vote_cast", "approved", "voted_already", "voted_meanwhile", "not_waiting"}
    found = (await stage.ingress.log.read(asked.ref)).call
    check_end(found, asked)
    assert codes["vote_cast"] + codes["approved"] == len(found.votes)


async def test_people_who_change_their_minds_on_two_replicas(stage: Scene) -> None:
    people = [member(f"f{number}", "finance") for number in range(8)]
    async with replica(stage, Heard()) as one, replica(stage, Heard()) as two:
        for _ in range(4):
            asked = await stage.ask(requirement(quorum=6).model_copy(update={"rejections": 5}))
            votes = [
                a_vote(asked, who, decision)
                for who in people
                for decision in ("reject", "approve", "approve", "reject", "approve")
            ]
            await race(votes, one, two)
            check_end((await stage.ingress.log.read(asked.ref)).call, asked)


def check_end(call: Call, asked: Recorded) -> None:
    """At most one end, rightly; every changed vote names the very one that stood. The count is made here once more."""
    names = [recorded.name for recorded in call.chain]
    assert names.count("approved") + names.count("rejected") <= 1
    assert not call.aliens
    last: dict[str, Recorded] = {}
    for recorded in call.votes:
        vote = recorded.data
        assert isinstance(vote, VoteCast)
        before = last.get(vote.reviewer.id)
        assert vote.replaces == (before.event.event_id if before else None)
        last[vote.reviewer.id] = recorded
    votes = [vote for vote in (recorded.data for recorded in last.values()) if isinstance(vote, VoteCast)]
    yes = [set(vote.reviewer.groups) for vote in votes if vote.decision == "approve"]
    no = len(votes) - len(yes)
    (needed,) = asked.data.requirements  # type: ignore[attr-defined]
    end = call.chain[-1].data
    if isinstance(end, Approved):
        assert no < needed.rejections
        assert len(yes) >= needed.people
        assert all(sum(group in mine for mine in yes) >= needed.quorum for group in needed.approvers)
        assert set(end.votes) <= {recorded.event.event_id for recorded in last.values()}
    elif isinstance(end, Rejected):
        assert no >= needed.rejections
    else:
        assert len(yes) < needed.people


# Whole calls: policy asks by annotations, the executor folds the chain by itself.

RULES = """
@id("bots-pay") permit(principal in Group::"support-bots", action == Action::"shop.pay", resource);

@id("large-needs-both") @approvers("finance,sre") @quorum("each") @expires("5m") @break_glass("commanders")
forbid(principal, action == Action::"shop.pay", resource)
unless { context.approved || context.input.amount.lessThanOrEqual(decimal("100.0")) };

@id("reviewers") permit(principal, action == Action::"approve", resource);
"""


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path) as running:
        await running.use_policies(RULES)
        yield running


async def ballot(shop: Governed, ref: CallRef, who: str, *groups: str, **more: Any) -> tuple[int, Any]:
    digest = (await shop.until(ref, "approval_required")).digest
    headers = {"Authorization": f"Bearer {shop.issuer.mint(who, list(groups))}"}
    body = {"decision": "approve", "digest": digest, **more}

    async def taken() -> tuple[int, Any] | None:
        status, answer = await shop.request("POST", f"/v1/approvals/{ref}/votes", headers=headers, json=body)
        return None if (status, answer.get("code")) == (403, "not_permitted") else (status, answer)

    return await eventually(taken)  # the new policies come into force within a second


async def test_a_call_runs_when_one_of_each_group_approved(shop: Governed) -> None:
    ref = CallRef.parse((await shop.call("shop.pay", wait=0, amount=250, **PAY))["id"])
    status, answer = await ballot(shop, ref, "fay2", "finance")
    assert (status, answer["state"], answer["requirements"][0]["missing"]) == (201, "vote_cast", 1)
    status, answer = await ballot(shop, ref, "flo", "finance")
    assert (status, answer["state"]) == (201, "vote_cast")  # two of finance are not one of each
    assert not shop.ledger.arrived
    assert (await ballot(shop, ref, "sid", "sre"))[1]["state"] == "approved"
    assert (await shop.outcome(ref))["status"] == "completed"
    assert shop.ledger.executed == {PAY_ROUTE: 1}


async def test_a_call_runs_when_glass_is_broken_and_everybody_can_see_why(shop: Governed) -> None:
    ref = CallRef.parse((await shop.call("shop.pay", wait=0, amount=250, **PAY))["id"])
    assert (await ballot(shop, ref, "ida", "commanders", break_glass=True))[1]["code"] == "reason_required"
    status, answer = await ballot(shop, ref, "ida", "commanders", break_glass=True, reason="the site is down")
    assert (status, answer["state"]) == (201, "approved")
    assert (await shop.outcome(ref))["status"] == "completed"
    vote = (await shop.chain(ref)).votes[-1].data
    assert isinstance(vote, VoteCast)
    assert vote.break_glass


async def test_what_was_approved_under_laxer_rules_does_not_run(shop: Governed) -> None:
    """Policy recounts by what it demands now, and no group may break its glass any more."""
    ref = CallRef.parse((await shop.call("shop.pay", wait=0, amount=250, **PAY))["id"])
    await shop.until(ref, "approval_required")
    await shop.use_policies(RULES.replace('@break_glass("commanders")', ""))
    await ballot(shop, ref, "ida", "commanders", break_glass=True, reason="the site is down")
    answer = await shop.outcome(ref)
    assert (answer["status"], answer["code"]) == ("denied", "approval_insufficient")
    assert not shop.ledger.arrived
