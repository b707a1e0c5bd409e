"""Approvals in Slack on a real broker, with a stand-in for Slack's side: sent once, decided there, updated in place."""

import asyncio
import statistics
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from approval_scene import AGENT, Scene, requirement, scene
from deployment import new_call
from deployment import sealed as seal
from notice_scene import replay, replica, settled, unknown_after
from slack_stand_in import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, Message, SlackStandIn, signed_request, slack_stand_in

from callgate.delivery import now
from callgate.ids import mint_session, uuid7
from callgate.jsontext import dump
from callgate.log import Draft
from callgate.platform import Platform
from callgate.sealing import Place
from contracts.events import (
    Allowed,
    Approved,
    ArgumentsAmended,
    ArgumentsMasked,
    Cancelled,
    Escalation,
    ExecutionCompleted,
    ExecutionStarted,
    Proof,
    Recorded,
    Rejected,
    ResultMasked,
    VoteCast,
)
from contracts.identity import Principal, Role
from contracts.records import Accessed, Revoked
from contracts.subjects import ACCESS, CallRef, access_filter, revocation_subject
from services.approval.slack_blocks import APPROVE, OPEN, REJECT, SETTLE

FINANCE, BOARD = "C0FINANCE", "C0BOARD"
FINA, FINN, STRANGER = "U0FINA", "U0FINN", "U0STRANGER"


def slack_settings(folder: Path, slack: SlackStandIn, *, socket_mode: bool = False) -> dict[str, Any]:
    files = {"token_file": BOT_TOKEN, "signing_secret_file": SIGNING_SECRET, "app_token_file": APP_TOKEN}
    files.pop("signing_secret_file" if socket_mode else "app_token_file")
    for name, secret in files.items():
        (folder / name).write_text(secret + "\n")
    return {
        "api_url": f"{slack.url}/api/",
        "channels": {"finance": FINANCE, "board": BOARD},
        "people": [
            {"id": "fina", "groups": ["finance"], "email": "fina@example.com"},
            {"id": "finn", "groups": ["finance"], "user": FINN},
        ],
        **{name: str(folder / name) for name in files},
    }


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandIn]:
    async with slack_stand_in() as slack:
        slack.person(FINA, "Fina@example.com")
        slack.person(STRANGER, "stranger@example.com")
        yield slack
        assert slack.refused == []


@pytest.fixture
async def stage(tmp_path: Path, slack: SlackStandIn) -> AsyncIterator[Scene]:
    async with scene(tmp_path, sweep_every=0.2, slack=slack_settings(tmp_path, slack)) as stage:
        yield stage


async def press(http: aiohttp.ClientSession, payload: dict[str, Any], **more: Any) -> tuple[int, Any]:
    body, headers = signed_request(payload, **more)
    async with http.post("/v1/slack/interactions", data=body, headers=headers) as answer:
        return answer.status, await answer.json() if answer.content_length else None


async def first(slack: SlackStandIn) -> Message:
    found: Message = await slack.until(lambda: next(iter(slack.posted()), None))
    return found


def told_to(slack: SlackStandIn, user: str) -> bool:
    return any(one[1] == user for one in slack.told)


def has_posted(slack: SlackStandIn, count: int) -> bool:
    return len(slack.posted()) == count


async def test_a_question_is_asked_once_and_the_message_follows_the_call(stage: Scene, slack: SlackStandIn) -> None:
    async with replica(stage) as http, replica(stage) as other:
        asked = await stage.ask(requirement(quorum=2), arguments={"amount": 250, "note": "<!channel> & *bold*"})
        message = await first(slack)
        assert message.channel == FINANCE
        assert "Approval needed: payments.refund" in message.words
        for shown in (
            "Asked by\nbot",
            "On behalf of\nrosa",
            "amount\n250",
            "note\n<!channel> & *bold*",
            "2 of finance",
        ):
            assert shown in message.words
        assert "Refunds above 100 are decided by two people in finance." in message.words
        assert f"<!date^{int(asked.data.expires_at.timestamp())}^" in message.words  # type: ignore[attr-defined]
        opened = message.button(OPEN)
        assert opened is not None
        assert opened["url"].endswith(f"/approvals/{asked.ref}")

        assert await press(http, slack.press(message, APPROVE, FINA)) == (200, None)
        await stage.until(asked.ref, "vote_cast")
        await slack.until(lambda: "Approved by fina" in message.words and "1 approval missing" in message.words)
        assert await press(other, slack.press(message, APPROVE, FINN)) == (200, None)
        await stage.until(asked.ref, "approved")
        await slack.until(lambda: "Approved: payments.refund" in message.words)
        assert message.button(APPROVE) is None
        assert message.button(OPEN) is not None

        call = (await stage.ingress.log.read(asked.ref)).call
        vote = call.votes[0].data
        assert isinstance(vote, VoteCast)
        assert (vote.reviewer.id, vote.reviewer.groups, vote.proof.digest) == ("fina", ("finance",), asked.digest)
        assert vote.reviewer.token_id == f"slack:{FINA}"
        assert vote.proof.issuer.endswith("/api/T0CALLGATE")

        await executed(stage, call.head)
        await slack.until(lambda: "Done: payments.refund" in message.words)
        await settled(stage)
    assert len(slack.posted()) == 1
    assert slack.told == []
    looked = [one async for one in stage.masking.records.all(ACCESS, access_filter(Role.APPROVAL))]
    viewed = [one.data for one in looked if not isinstance(one, Exception)]
    assert [one.who.id for one in viewed if isinstance(one, Accessed)].count(f"slack:{FINANCE}") == 1


async def executed(stage: Scene, approved: Recorded | None) -> None:
    """What policy, executor and masking append after an approval."""
    assert approved is not None
    async with stage.here.platforms(Role.EXECUTOR) as others:
        executor: Platform = others[Role.EXECUTOR]
        ref, started, done = approved.ref, uuid7(), uuid7()
        allowed = await stage.policy.log.append(
            Draft(uuid7(), now(), Allowed(policy_set="a" * 64, function_digest="b" * 64)), approved
        )
        begun = await executor.log.append(
            Draft(started, now(), ExecutionStarted(instance="e", attempt=1, deadline=now())), allowed
        )
        completed = ExecutionCompleted(
            function="payments.refund",
            status=200,
            result=await sealed(executor, ref, done, "result", "raw"),
            size=2,
            duration_ms=1,
        )
        ran = await executor.log.append(Draft(done, now(), completed), begun)
        event = uuid7()
        view = await sealed(stage.masking, ref, event, "view", "view")
        await stage.masking.log.append(Draft(event, now(), ResultMasked(status=200, view=view)), ran)


async def sealed(platform: Platform, ref: CallRef, event_id: str, name: str, data_class: Any) -> Any:

    return await seal(platform, ref, event_id, name, b"{}", data_class)


async def test_a_restart_and_a_replayed_stream_send_nothing_again(stage: Scene, slack: SlackStandIn) -> None:
    async with replica(stage) as http:
        await stage.ask()
        message = await first(slack)
        await press(http, slack.press(message, APPROVE, FINA))
        await slack.until(lambda: message.edits and "Approved: payments" in message.words)
        await settled(stage, open_calls=1)
    sent = len(slack.calls)
    await replay(stage)
    async with replica(stage), replica(stage):
        again = await stage.ask()  # what comes after all that is delivered again
        second = await slack.until(lambda: slack.posted()[1:])
        assert str(again.ref) in str(second[0].button(APPROVE))
        await settled(stage, open_calls=1)
    assert len(slack.posted()) == 2
    assert slack.calls[sent:].count("chat.postMessage") == 1


@pytest.mark.parametrize("at_an_issuer", [False, True])
async def test_whose_identity_is_revoked_cannot_decide_there(
    stage: Scene, slack: SlackStandIn, at_an_issuer: bool
) -> None:
    async with stage.here.platform(Role.APPROVAL) as approval:
        revocation = uuid7()
        reason = await seal(approval, new_call(approval, "revoker"), revocation, "reason", b"left", "view")
        issuer = stage.issuer.url if at_an_issuer else None
        revoked = Revoked(
            revocation_id=revocation, scope="subject", target="finn", issuer=issuer, by=AGENT, reason=reason
        )
        await approval.records.publish(revocation_subject(revocation), revoked, now(), 0)
    async with replica(stage) as http:
        asked = await stage.ask(requirement(quorum=2))
        message = await first(slack)
        assert await press(http, slack.press(message, APPROVE, FINN)) == (200, None)
        await slack.until(lambda: told_to(slack, FINN))
        assert "revoked" in slack.told[0][2]
        assert await press(http, slack.press(message, APPROVE, FINA)) == (200, None)
        await stage.until(asked.ref, "vote_cast")
        call = (await stage.ingress.log.read(asked.ref)).call
    assert [vote.data.reviewer.id for vote in call.votes if isinstance(vote.data, VoteCast)] == ["fina"]


async def test_a_rejection_asks_for_a_reason_first(stage: Scene, slack: SlackStandIn) -> None:
    async with replica(stage) as http:
        asked = await stage.ask()
        message = await first(slack)
        await press(http, slack.press(message, REJECT, FINN))
        (view,) = await slack.until(lambda: slack.views)
        status, answer = await press(http, slack.submit(view, "   ", FINN))
        assert (status, answer["response_action"], list(answer["errors"])) == (200, "errors", ["reason"])
        assert await press(http, slack.submit(view, "wrong customer", FINN)) == (200, {"response_action": "clear"})
        rejected = await stage.until(asked.ref, "rejected")
        assert isinstance(rejected.data, Rejected)
        await slack.until(lambda: "Rejected by finn" in message.words)
        assert message.button(REJECT) is None
        # A form that is sent late says so in its place.
        status, answer = await press(http, slack.submit(view, "once more", FINN))
        assert (status, answer["response_action"]) == (200, "update")
        assert "does not wait" in str(answer["view"])


async def test_who_is_nobody_here_cannot_vote_and_is_told_so_alone(stage: Scene, slack: SlackStandIn) -> None:
    slack.person("U0UNSURE", "fina@example.com", is_email_confirmed=False)
    slack.person("U0GUEST", "fina@example.com", is_restricted=True)
    slack.person("U0AFAR", "fina@example.com", team_id="T0OTHER")
    async with replica(stage) as http:
        asked = await stage.ask()
        message = await first(slack)
        for user, team in ((STRANGER, None), ("U0UNSURE", None), ("U0GUEST", None), ("U0AFAR", "T0OTHER")):
            payload = slack.press(message, APPROVE, user, **({"team": team} if team else {}))
            assert await press(http, payload) == (200, None)
            await slack.until(partial(told_to, slack, user))
        # Nor by claiming to be of this workspace: its own record of them says otherwise.
        await press(http, slack.press(message, REJECT, "U0AFAR"))
        await slack.until(lambda: len(slack.told) == 5)
        assert [one.name for one in (await stage.ingress.log.read(asked.ref)).call.chain][-1] == "approval_required"
    assert {one[0] for one in slack.told} == {FINANCE}
    assert slack.views == []


async def status_of(http: aiohttp.ClientSession, body: bytes, headers: dict[str, str]) -> int:
    async with http.post("/v1/slack/interactions", data=body, headers=headers) as answer:
        return answer.status


async def test_only_what_slack_signed_lately_counts_and_only_once(stage: Scene, slack: SlackStandIn) -> None:
    async with replica(stage) as http, replica(stage) as other:
        asked = await stage.ask()
        message = await first(slack)
        payload = slack.press(message, APPROVE, FINA)
        for more in ({"secret": "another"}, {"age": 301}, {"age": -301}):
            status, answer = await press(http, payload, **more)
            assert (status, answer["code"]) == (401, "bad_signature")
        body, headers = signed_request(payload)
        for name in ("X-Slack-Signature", "X-Slack-Request-Timestamp"):
            bare = {key: value for key, value in headers.items() if key != name}
            async with http.post("/v1/slack/interactions", data=body, headers=bare) as answer_:
                assert answer_.status == 401
        async with http.post("/v1/slack/interactions", data=body + b"&x=1", headers=headers) as answer_:
            assert answer_.status == 401
        assert [one.name for one in (await stage.ingress.log.read(asked.ref)).call.chain][-1] == "approval_required"
        # Twice at once here, once more at another replica, and at one that was started since.
        codes = await asyncio.gather(*(status_of(one, body, headers) for one in (http, http, other)))
        assert sorted(codes) == [200, 401, 401]
        async with replica(stage) as late:
            assert await status_of(late, body, headers) == 401
        await stage.until(asked.ref, "approved")


async def test_a_vote_on_what_has_changed_since_is_refused(stage: Scene, slack: SlackStandIn) -> None:
    async with replica(stage) as http:
        asked = await stage.ask()
        old = await first(slack)
        stale = slack.press(old, APPROVE, FINA)
        asked_anew = await amended(stage, asked)
        new = await slack.until(lambda: next(iter(slack.posted()[1:]), None))
        await slack.until(lambda: "Changed: payments.refund" in old.words and "amount\n250" in old.words)
        assert "amount\n40" in new.words
        assert "Changed by a reviewer:\n/amount\n250 → 40" in new.words
        assert "Changed by a reviewer" not in old.words
        await press(http, stale)
        await slack.until(lambda: slack.told)
        assert "The call has changed" in slack.told[0][2]
        await press(http, slack.press(new, APPROVE, FINA))
        approved = await stage.until(asked_anew.ref, "approved")
        assert isinstance(approved.data, Approved)


async def amended(stage: Scene, asked: Recorded) -> Recorded:
    """A reviewer lowers the amount; masking and policy go on from there."""

    ref, event, masked = asked.ref, uuid7(), uuid7()
    author = Principal(id="finn", issuer="https://issuer.example", groups=("finance",))
    async with stage.here.platform(Role.APPROVAL) as approval:
        data = ArgumentsAmended(
            author=author,
            patch=await sealed(approval, ref, event, "patch", "raw"),
            proof=Proof(issuer=author.issuer, subject=author.id, digest=asked.digest),
        )
        amendment = await approval.log.append(Draft(event, now(), data), asked)

    view = await stage.masking.sealer.seal(dump({"amount": 40}), Place(ref, masked, "view"), "view", now())
    requested = (await stage.ingress.log.read(ref)).call.requested
    anew = ArgumentsMasked(
        function=requested.function,
        principal=requested.principal,
        arguments=await sealed(stage.masking, ref, masked, "arguments", "raw"),
        view=view,
        amended=True,
    )
    return await stage.ask_about(await stage.masking.log.append(Draft(masked, now(), anew), amendment))


async def test_an_unknown_outcome_is_told_once_with_a_link_to_settle_it(stage: Scene, slack: SlackStandIn) -> None:
    async with replica(stage) as http, replica(stage):
        asked = await stage.ask()
        message = await first(slack)
        await press(http, slack.press(message, APPROVE, FINA))
        await unknown_after(stage, await stage.until(asked.ref, "approved"))
        told = await slack.until(lambda: next((one for one in slack.posted(threads=True) if one.thread_ts), None))
        assert told.thread_ts == message.ts
        assert told.words.startswith("Outcome unknown: payments.refund")
        await slack.until(lambda: "Outcome unknown: payments.refund" in message.words)
        for one in (message, told):
            settle = one.button(SETTLE)
            assert settle is not None
            assert settle["url"].endswith(f"/approvals/outcomes/{asked.ref}")
        await settled(stage)
    await replay(stage)
    async with replica(stage), replica(stage):
        await stage.ask()
        await slack.until(lambda: slack.posted()[1:])
        await settled(stage)
    assert len(slack.messages) == 3


async def test_what_the_session_did_before_is_shown(stage: Scene, slack: SlackStandIn) -> None:
    session_id = mint_session(AGENT.session_owner)
    async with replica(stage):
        before = await stage.ask(session_id=session_id)
        assert "Before, in this session" not in (await first(slack)).words
        await stage.ingress.log.append(Draft(uuid7(), now(), Cancelled(by="bot", code="withdrawn")), before)
        await stage.ask(session_id=session_id)
        second = await slack.until(lambda: next(iter(slack.posted()[1:]), None))
        assert "Before, in this session\n• payments.refund: cancelled" in second.words
        await settled(stage)


async def test_slack_failing_delays_a_message_and_doubles_none(stage: Scene, slack: SlackStandIn) -> None:
    slack.failures += [("chat.postMessage", "500"), ("chat.postMessage", "lost")]
    async with replica(stage):
        await stage.ask()
        message = await first(slack)
        await slack.until(lambda: slack.calls.count("conversations.history") == 2)
        await settled(stage)
    assert slack.posted() == [message]
    assert slack.calls.count("chat.postMessage") == 2


async def test_what_was_decided_before_slack_took_the_message_is_not_asked_there(
    stage: Scene, slack: SlackStandIn
) -> None:
    slack.failures.append(("chat.postMessage", "not_in_channel"))
    async with replica(stage) as http:
        asked = await stage.ask(requirement(quorum=1))
        await slack.until(lambda: "chat.postMessage" in slack.calls)
        headers = {"Authorization": f"Bearer {stage.issuer.mint('finn', ['finance'])}"}
        vote = {"decision": "reject", "digest": asked.digest}
        async with http.post(f"/v1/approvals/{asked.ref}/votes", json=vote, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
        await settled(stage)
    assert slack.posted() == []


async def test_buttons_over_socket_mode(tmp_path: Path, slack: SlackStandIn) -> None:
    settings = slack_settings(tmp_path, slack, socket_mode=True)
    async with scene(tmp_path, slack=settings) as stage, replica(stage) as http:
        asked = await stage.ask()
        message = await first(slack)
        assert (await press(http, slack.press(message, APPROVE, FINA)))[0] == 404
        await slack.push(slack.press(message, REJECT, FINA))
        (view,) = await slack.until(lambda: slack.views)
        assert await slack.push(slack.submit(view, "no", FINA)) == {"response_action": "clear"}
        await stage.until(asked.ref, "rejected")
        await slack.until(lambda: "Rejected by fina" in message.words)


async def test_reminder_escalation_and_broken_glass_are_told_once(stage: Scene, slack: SlackStandIn) -> None:
    async with replica(stage) as http, replica(stage):
        at = now()
        later = Escalation(approvers=("board",), at=at + timedelta(seconds=3))
        more = {"remind_at": at + timedelta(seconds=0.5), "escalation": later, "break_glass": ("finance",)}
        asked = await stage.ask(requirement(quorum=3).model_copy(update=more))
        message = await first(slack)
        reminder = await slack.until(lambda: next((one for one in slack.posted(threads=True) if one.thread_ts), None))
        assert (reminder.thread_ts, reminder.words) == (message.ts, "Still waiting for a decision: payments.refund")
        elsewhere = await slack.until(lambda: next(iter(slack.posted()[1:]), None))
        assert elsewhere.channel == BOARD
        assert elsewhere.button(APPROVE) is not None

        headers = {"Authorization": f"Bearer {stage.issuer.mint('fina', ['finance'])}"}
        alone = {"decision": "approve", "digest": asked.digest, "reason": "the site is down", "break_glass": True}
        async with http.post(f"/v1/approvals/{asked.ref}/votes", json=alone, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
        await slack.until(lambda: len(slack.posted(threads=True)) == 5)
        await slack.until(lambda: all("Approved: payments" in one.words for one in (message, elsewhere)))
        await settled(stage, open_calls=1)
    glass = slack.posted(threads=True)[3:]
    assert {(one.channel, one.thread_ts) for one in glass} == {(FINANCE, message.ts), (BOARD, elsewhere.ts)}
    assert {one.words for one in glass} == {"Glass broken: approved by fina alone: payments.refund"}
    assert len(slack.messages) == 5


async def test_how_long_it_takes_to_slacks_door(stage: Scene, slack: SlackStandIn) -> None:
    """From `approval_required` acknowledged by the broker to the message at Slack."""
    took = []
    loop = asyncio.get_running_loop()
    async with replica(stage):
        for count in range(1, 31):
            await stage.ask()
            appended = loop.time()
            await slack.until(partial(has_posted, slack, count))
            took.append(max(0.0, slack.posted()[-1].at - appended))
    took.sort()
    print(f"approval_required → Slack: p50 {statistics.median(took) * 1000:.1f} ms, max {took[-1] * 1000:.1f} ms")  # noqa: T201
    assert statistics.median(took) < 0.5  # the target is 0.1; a busy machine is no defect
