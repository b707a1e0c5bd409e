"""Teams and mail on a real broker, with stand-ins for both: routed by group, told once, repeated after failures."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from approval_scene import AGENT, Scene, eventually, requirement, scene
from mail_stand_in import PASSWORD, USER, MailServer, mail_server
from notice_scene import replay, replica, settled, unknown_after, vote
from teams_stand_in import TeamsStandIn, teams_stand_in

from callgate.delivery import now
from callgate.errors import ConfigurationError
from contracts.events import Escalation
from contracts.identity import Role
from services.approval.app import build

RETRIES = [0.05, 0.05]


@pytest.fixture
async def teams() -> AsyncIterator[TeamsStandIn]:
    async with teams_stand_in() as teams:
        yield teams
        assert teams.refused == []


@pytest.fixture
async def mails(tmp_path: Path) -> AsyncIterator[MailServer]:
    async with mail_server(tmp_path) as mails:
        yield mails


def teams_settings(folder: Path, url: str, **more: Any) -> dict[str, Any]:
    for name in ("finance", "board"):
        (folder / f"teams.{name}").write_text(f"{url}/{name}\n")
    channels = [
        {"name": name, "groups": [name], "url_file": str(folder / f"teams.{name}")} for name in ("finance", "board")
    ]
    return {"channels": channels, "allow_private": True, "retries": RETRIES, **more}


def mail_settings(folder: Path, mails: MailServer, **more: Any) -> dict[str, Any]:
    (folder / "smtp.password").write_text(PASSWORD + "\n")
    lists = [
        {"name": "finance", "groups": ["finance"], "to": ["finance@example.com", "fina@example.com"]},
        {"name": "board", "groups": ["board"], "to": ["board@example.com"]},
    ]
    login = {"username": USER, "password_file": str(folder / "smtp.password")}
    server = {"host": "127.0.0.1", "port": mails.port, "ca_file": str(mails.ca_file), "timeout": 5}
    return {"sender": "gate@example.com", "lists": lists, "retries": RETRIES, **server, **login, **more}


async def deliveries(stage: Scene, http: aiohttp.ClientSession, outcome: str, count: int = 1) -> list[Any]:
    """The delivery log, once it holds so many with that outcome."""
    headers = {"Authorization": f"Bearer {stage.issuer.mint('olga', ['operators'])}"}

    async def listed() -> list[Any] | None:
        async with http.get("/v1/notices/deliveries", headers=headers, params={"outcome": outcome}) as answer:
            found: list[Any] = (await answer.json())["deliveries"]
            return found if len(found) >= count else None

    return await eventually(listed)


async def test_the_approvers_of_a_group_are_told_once_what_waits_and_how_it_ended(
    tmp_path: Path, teams: TeamsStandIn, mails: MailServer
) -> None:
    settings: dict[str, Any] = {"teams": teams_settings(tmp_path, teams.url), "email": mail_settings(tmp_path, mails)}
    async with scene(tmp_path, **settings) as stage:
        async with replica(stage) as http, replica(stage):
            asked = await stage.ask(arguments={"note": "a raw value", "amount": 98765})
            (card,) = await teams.received(1)
            (mail,) = await mails.received(1)
            page = f"http://{stage.here.settings.listen}/approvals/{asked.ref}"
            assert card.channel == "finance"
            assert card.words[0] == "Approval needed: payments.refund"
            for shown in ("Asked by: bot", "On behalf of: rosa", "Needs: 1 of finance (1 missing)"):
                assert shown in card.words
            assert any("Refunds above 100 are decided by two people in finance." in words for words in card.words)
            assert card.links == [("Open the call", page)]

            assert (mail.sender, mail.to) == ("gate@example.com", ["finance@example.com", "fina@example.com"])
            assert (mail.encrypted, mail.user) == (True, USER)
            assert mail.read["Subject"] == "Approval needed: payments.refund"
            for kind in ("plain", "html"):
                text = mail.read.get_body((kind,)).get_content()
                assert page in text
                assert "Refunds above 100 are decided by two people in finance." in text
            for secret in (b"a raw value", b"98765"):
                assert secret not in mail.raw
            assert "98765" not in str(card)

            assert await vote(stage, http, f"/v1/approvals/{asked.ref}/votes", asked.digest) == 201
            assert (await teams.received(2))[1].words[0] == "Approved: payments.refund"
            second = (await mails.received(2))[1].read
            assert second["Subject"] == "Approved: payments.refund"
            assert second["References"] == mail.read["Message-ID"]
            await settled(stage, open_calls=1)
        await replay(stage)
        async with replica(stage), replica(stage):
            again = await stage.ask()  # what comes after all that is delivered again
            assert str(again.ref) in str((await teams.received(3))[2].links)
            await mails.received(3)
            await settled(stage, open_calls=1)
    assert len(teams.cards) == teams.asked == len(mails.came) == 3


async def test_a_reminder_and_an_escalation_are_told_once(
    tmp_path: Path, teams: TeamsStandIn, mails: MailServer
) -> None:
    settings: dict[str, Any] = {"teams": teams_settings(tmp_path, teams.url), "email": mail_settings(tmp_path, mails)}
    async with scene(tmp_path, sweep_every=0.2, **settings) as stage, replica(stage), replica(stage):
        at = now()
        later = Escalation(approvers=("board",), at=at + timedelta(seconds=3))
        more = {"remind_at": at + timedelta(seconds=0.5), "escalation": later}
        await stage.ask(requirement(quorum=2).model_copy(update=more))
        cards, came = await teams.received(3), await mails.received(3)
        assert [(card.channel, card.words[0]) for card in cards] == [
            ("finance", "Approval needed: payments.refund"),
            ("finance", "Still waiting for a decision: payments.refund"),
            ("board", "Approval needed: payments.refund"),
        ]
        assert [mail.to[0].partition("@")[0] for mail in came] == ["finance", "finance", "board"]
        await settled(stage)
    assert (len(teams.cards), len(mails.came)) == (3, 3)


async def test_failures_are_repeated_across_a_restart(tmp_path: Path, teams: TeamsStandIn, mails: MailServer) -> None:
    slowly = [0.05, 5, 0.05]
    settings: dict[str, Any] = {
        "teams": teams_settings(tmp_path, teams.url, retries=slowly),
        "email": mail_settings(tmp_path, mails, retries=slowly),
        "operators": ["operators"],
    }
    teams.answers = [500, 429]
    mails.failures = [("auth", "454 not now"), ("mail-itself", "451 try again")]
    async with scene(tmp_path, **settings) as stage:
        async with replica(stage) as http:
            await stage.ask()

            async def both_wait() -> list[Any] | None:
                found = await deliveries(stage, http, "pending", 2)
                return found if {one["attempts"] for one in found} == {2} else None

            pending = await eventually(both_wait)
            assert {(one["endpoint"], one["code"], one["status"]) for one in pending} == {
                ("teams-finance", "teams_refused", 429),
                ("email-finance", "email_refused", 451),
            }
            assert (teams.cards, mails.came) == ([], [])
        async with replica(stage) as http:
            await teams.received(1)
            await mails.received(1)
            done = await deliveries(stage, http, "delivered", 2)
            assert {one["attempts"] for one in done} == {3}
    assert (len(teams.cards), len(mails.came)) == (1, 1)


async def test_a_dead_letter_is_sent_again_by_an_operator(tmp_path: Path, mails: MailServer) -> None:
    mails.failures = [("rcpt", "550 nobody")] * 2
    settings: dict[str, Any] = {"email": mail_settings(tmp_path, mails), "operators": ["operators"]}
    async with scene(tmp_path, **settings) as stage, replica(stage) as http:
        await stage.ask()
        (dead,) = await deliveries(stage, http, "dead")
        assert (dead["code"], dead["status"], dead["attempts"]) == ("email_recipients_refused", 550, 1)
        headers = {"Authorization": f"Bearer {stage.issuer.mint('olga', ['operators'])}"}
        async with http.post(f"/v1/notices/deliveries/{dead['id']}/again", headers=headers) as answer:
            assert answer.status == 202, await answer.text()
        await mails.received(1)
        await deliveries(stage, http, "delivered")


async def test_who_is_refused_of_a_list_costs_the_others_nothing(tmp_path: Path, mails: MailServer) -> None:
    mails.failures = [("rcpt", "550 nobody")]
    settings: dict[str, Any] = {"email": mail_settings(tmp_path, mails), "operators": ["operators"]}
    async with scene(tmp_path, **settings) as stage, replica(stage) as http:
        await stage.ask()
        (mail,) = await mails.received(1)
        assert mail.to == ["fina@example.com"]
        await deliveries(stage, http, "delivered")
        await settled(stage)
    assert len(mails.came) == 1


async def test_nobody_is_asked_about_a_call_of_their_own(tmp_path: Path, mails: MailServer) -> None:
    async with scene(tmp_path, email=mail_settings(tmp_path, mails)) as stage, replica(stage) as http:
        asked = await stage.ask(requester=AGENT.model_copy(update={"on_behalf_of": "fina@example.com"}))
        assert (await mails.received(1))[0].to == ["finance@example.com"]
        assert await vote(stage, http, f"/v1/approvals/{asked.ref}/votes", asked.digest) == 201
        assert (await mails.received(2))[1].to == ["finance@example.com", "fina@example.com"]
        await settled(stage, open_calls=1)


@pytest.mark.parametrize("how", ["no TLS offered", "a certificate of nobody we trust"])
async def test_nothing_is_said_to_a_server_without_tls_that_holds(tmp_path: Path, how: str) -> None:
    async with mail_server(tmp_path, offers_tls=how != "no TLS offered") as mails:
        trusted = {} if how == "no TLS offered" else {"ca_file": None}
        settings: dict[str, Any] = {"email": mail_settings(tmp_path, mails, **trusted), "operators": ["operators"]}
        async with scene(tmp_path, **settings) as stage, replica(stage) as http:
            await stage.ask()
            (dead,) = await deliveries(stage, http, "dead")
            assert (dead["code"], dead["attempts"]) == ("email_tls_failed", 3)
        assert mails.came == []
        assert not {"auth", "mail", "data"} & set(mails.said)


async def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    async with mail_server(tmp_path, implicit=True) as mails:
        settings: dict[str, Any] = {"email": mail_settings(tmp_path, mails, tls="implicit")}
        async with scene(tmp_path, **settings) as stage, replica(stage):
            await stage.ask()
            (mail,) = await mails.received(1)
            assert (mail.encrypted, mail.user) == (True, USER)
            await settled(stage)


async def test_a_server_that_says_nothing_holds_up_no_other_work(tmp_path: Path, mails: MailServer) -> None:
    """Masking, ingress and audit work in the threads of the process too, where all services share one."""
    reached, over = asyncio.Event(), asyncio.Event()

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        await over.wait()
        writer.close()

    with ThreadPoolExecutor(1) as shared:
        asyncio.get_running_loop().set_default_executor(shared)
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with scene(tmp_path, email=mail_settings(tmp_path, mails, port=port)) as stage, replica(stage):
            await stage.ask()
            await reached.wait()
            async with asyncio.timeout(2):  # the mail waits for five
                assert await asyncio.to_thread(lambda: "done") == "done"
            over.set()
            server.close()


async def test_a_private_workflow_is_never_connected_to(tmp_path: Path, teams: TeamsStandIn) -> None:
    url = teams.url.replace("http://127.0.0.1", "https://localhost")
    settings: dict[str, Any] = {"teams": teams_settings(tmp_path, url, allow_private=False), "operators": ["operators"]}
    async with scene(tmp_path, **settings) as stage, replica(stage) as http:
        await stage.ask()
        (dead,) = await deliveries(stage, http, "dead")
        assert (dead["code"], dead["attempts"]) == ("teams_private_target", 1)
    assert teams.asked == 0


async def test_a_start_without_its_secrets_says_which_is_missing(tmp_path: Path, teams: TeamsStandIn) -> None:
    settings: dict[str, Any] = {"teams": teams_settings(tmp_path, teams.url, allow_private=False)}
    async with scene(tmp_path, **settings) as stage, stage.here.platform(Role.APPROVAL) as approval:
        with pytest.raises(ConfigurationError) as plain_http:
            await build(approval)
        assert plain_http.value.code == "bad_teams_url"
        assert teams.url not in str(plain_http.value)
        (tmp_path / "teams.board").unlink()
        (tmp_path / "teams.finance").write_text("https://workflows.example/secret")
        with pytest.raises(ConfigurationError) as missing:
            await build(approval)
        assert "teams: board" in str(missing.value)


async def test_an_unknown_outcome_leads_to_where_it_is_settled(
    tmp_path: Path, teams: TeamsStandIn, mails: MailServer
) -> None:
    settings: dict[str, Any] = {"teams": teams_settings(tmp_path, teams.url), "email": mail_settings(tmp_path, mails)}
    async with scene(tmp_path, **settings) as stage, replica(stage) as http, replica(stage):
        asked = await stage.ask()
        assert await vote(stage, http, f"/v1/approvals/{asked.ref}/votes", asked.digest) == 201
        await unknown_after(stage, await stage.until(asked.ref, "approved"))
        page = f"http://{stage.here.settings.listen}/approvals/outcomes/{asked.ref}"
        # Notices go side by side: in which order they arrive nobody promises.
        links = [card.links for card in await teams.received(3) if card.words[0] == "Outcome unknown: payments.refund"]
        assert links == [[("Settle it", page)]]
        texts = [mail.read.get_body(("plain",)).get_content() for mail in await mails.received(3)]
        assert [f"Settle it: {page}" in text for text in texts].count(True) == 1
        await settled(stage)
    assert (len(teams.cards), len(mails.came)) == (3, 3)
