"""Of a call that nobody was asked about, those who settle hear when its outcome is unknown: once, on every channel."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from approval_scene import Scene, scene
from mail_stand_in import MailServer, mail_server
from notice_scene import replay, replica, settled, unknown_after, vote
from slack_stand_in import Message, SlackStandIn, slack_stand_in
from teams_stand_in import TeamsStandIn, teams_stand_in
from test_approval import reviewer
from test_slack import BOARD, FINANCE, slack_settings
from test_teams_and_mail import mail_settings, teams_settings
from test_webhooks import hook, receiver, secret

from services.approval.slack_blocks import OPEN, SETTLE

__all__ = ["receiver"]


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandIn]:
    async with slack_stand_in() as slack:
        yield slack
        assert slack.refused == []


@pytest.fixture
async def teams() -> AsyncIterator[TeamsStandIn]:
    async with teams_stand_in() as teams:
        yield teams


@pytest.fixture
async def mails(tmp_path: Path) -> AsyncIterator[MailServer]:
    async with mail_server(tmp_path) as mails:
        yield mails


def link(message: Message, action_id: str) -> Any:
    """Where a button leads."""
    button = message.button(action_id)
    assert button is not None
    return button["url"]


def page(stage: Scene, ref: Any) -> str:
    return f"http://{stage.here.settings.listen}/approvals/outcomes/{ref}"


async def settle(stage: Scene, http: Any, lost: Any, outcome: str = "done") -> None:
    body = {"digest": lost.digest, "outcome": outcome, "reason": "the statement says so"}
    fina = reviewer(http, stage, "fina", "finance")
    status, answer = await fina.send(f"/v1/outcomes/{lost.ref}/settlement", body)
    assert status == 201, answer


async def test_slack_leads_to_where_it_is_settled_and_says_what_came_of_it(tmp_path: Path, slack: SlackStandIn) -> None:
    async with scene(tmp_path, slack=slack_settings(tmp_path, slack), settlers=["board"]) as stage:
        async with replica(stage) as http, replica(stage):
            lost = await stage.lose({"amount": 98765})
            message = await slack.until(lambda: next(iter(slack.posted()), None))
            assert message.channel == BOARD
            assert message.words.startswith("Outcome unknown: payments.refund")
            for shown in ("Asked by\nbot", "On behalf of\nrosa", "(timeout)"):
                assert shown in message.words
            assert "98765" not in str(message.blocks)
            assert link(message, SETTLE) == page(stage, lost.ref)

            await settle(stage, http, lost)
            await slack.until(lambda: "Settled: payments.refund" in message.words)
            assert "Done, says fina" in message.words
            assert message.button(SETTLE) is None
            assert link(message, OPEN) == page(stage, lost.ref)
            await settled(stage)
        await replay(stage)
        async with replica(stage), replica(stage):
            other = await stage.lose()
            await slack.until(lambda: slack.posted()[1:])
            await settled(stage)
        assert link(slack.posted()[1], SETTLE) == page(stage, other.ref)
    assert len(slack.messages) == 2


async def test_a_channel_that_approves_and_settles_has_one_message_of_it(tmp_path: Path, slack: SlackStandIn) -> None:
    async with (
        scene(tmp_path, slack=slack_settings(tmp_path, slack), settlers=["finance", "board"]) as stage,
        replica(stage) as http,
        replica(stage),
    ):
        asked = await stage.ask()
        question = await slack.until(lambda: next(iter(slack.posted()), None))
        assert await vote(stage, http, f"/v1/approvals/{asked.ref}/votes", asked.digest) == 201
        lost = await unknown_after(stage, await stage.until(asked.ref, "approved"))
        await slack.until(lambda: len(slack.messages) == 3)
        told = {one.channel: one for one in slack.messages.values() if one is not question}
        assert told[FINANCE].thread_ts == question.ts
        assert told[BOARD].thread_ts is None
        await settle(stage, http, lost, "not_done")
        shown = (question, *told.values())
        await slack.until(lambda: all("Not done, says fina" in one.words for one in shown))
        assert [one.button(SETTLE) for one in shown] == [None] * 3
        await settled(stage)
    assert len(slack.messages) == 3


@pytest.mark.parametrize("failure", ["500", "lost"])
async def test_slack_failing_doubles_none(tmp_path: Path, slack: SlackStandIn, failure: str) -> None:
    slack.failures = [("chat.postMessage", failure)]
    async with scene(tmp_path, slack=slack_settings(tmp_path, slack), settlers=["board"]) as stage, replica(stage):
        await stage.lose()
        await slack.until(lambda: slack.posted())
        await settled(stage)
    assert len(slack.messages) == 1


async def test_what_was_settled_before_slack_took_the_message_is_not_told(tmp_path: Path, slack: SlackStandIn) -> None:
    slack.failures = [("chat.postMessage", "500")]
    async with (
        scene(tmp_path, slack=slack_settings(tmp_path, slack), settlers=["board"]) as stage,
        replica(stage) as http,
    ):
        lost = await stage.lose()
        await slack.until(lambda: "chat.postMessage" in slack.calls)
        await settle(stage, http, lost)
        await settled(stage)
    assert slack.messages == {}


async def test_teams_and_mail_are_told_once_and_only_where_settlers_are(
    tmp_path: Path, teams: TeamsStandIn, mails: MailServer
) -> None:
    events = {"events": ["call.outcome_unknown", "call.outcome_settled"]}
    settings: dict[str, Any] = {
        "teams": teams_settings(tmp_path, teams.url, **events),
        "email": mail_settings(tmp_path, mails, **events),
        "settlers": ["board"],
    }
    async with scene(tmp_path, **settings) as stage, replica(stage) as http, replica(stage):
        lost = await stage.lose({"amount": 98765})
        (card,), (mail,) = await teams.received(1), await mails.received(1)
        assert (card.channel, card.words[0]) == ("board", "Outcome unknown: payments.refund")
        assert "Asked by: bot" in card.words
        assert card.links == [("Settle it", page(stage, lost.ref))]
        assert mail.to == ["board@example.com"]
        assert f"Settle it: {page(stage, lost.ref)}" in mail.read.get_body(("plain",)).get_content()
        assert b"98765" not in mail.raw
        await settle(stage, http, lost)
        card, mail = (await teams.received(2))[1], (await mails.received(2))[1]
        assert card.words[:2] == ["Settled: payments.refund", "Done, says fina"]
        assert mail.read["References"] == mails.came[0].read["Message-ID"]
        await settled(stage)
    assert (len(teams.cards), len(mails.came)) == (2, 2)


async def test_webhooks_are_told_with_the_way_to_settle_it(tmp_path: Path, receiver: Any) -> None:
    secret(tmp_path, "secret")
    hooks = [
        hook(tmp_path, receiver.url, "all"),
        hook(tmp_path, receiver.url, "board", groups=["board"]),
        hook(tmp_path, receiver.url, "finance", groups=["finance"]),
    ]
    async with scene(tmp_path, webhooks=hooks, settlers=["board"]) as stage, replica(stage):
        lost = await stage.lose()
        bodies = await receiver.received(2)
        assert bodies[0] == bodies[1]
        data = bodies[0]["data"]
        assert (bodies[0]["type"], data["call"], data["code"]) == ("call.outcome_unknown", str(lost.ref), "timeout")
        assert (data["digest"], data["attempts"], data["requester"]) == (lost.digest, 1, "bot")
        assert data["links"]["settlement"].endswith(f"/v1/outcomes/{lost.ref}/settlement")
        await settled(stage)
    ids = sorted(headers["webhook-id"] for headers, _, _ in receiver.came)
    assert ids == [f"msg_{lost.event.event_id}_all", f"msg_{lost.event.event_id}_board"]


async def test_without_settlers_the_log_says_so_at_start(tmp_path: Path, slack: SlackStandIn, caplog: Any) -> None:
    async with scene(tmp_path, slack=slack_settings(tmp_path, slack)) as stage, replica(stage):
        await stage.lose()
        await settled(stage)
    assert slack.messages == {}
    said = [one for one in caplog.records if one.message == "nobody may hear of outcomes that nobody knows"]
    assert "approval.settlers" in said[0].advice
