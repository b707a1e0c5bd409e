"""What a reviewer does beside voting, with the script and without it: amend, grant, freeze, settle."""

import json
import re

import pytest
from approval_scene import eventually, requirement
from desks import Desk
from playwright.async_api import Page, expect

from callgate.sealing import Place
from contracts.events import (
    ApprovalRequired,
    Approved,
    ArgumentsAmended,
    Cancelled,
    Finding,
    OutcomeSettled,
    Recorded,
    Rejected,
    VoteCast,
)

pytestmark = pytest.mark.browser

ARGUMENTS = {"amount": 250, "note": "first\nsecond", "card": "[CREDIT_CARD]", "vip": True, "odd": "a\u200bb", "old": 1}
scripted = pytest.mark.parametrize("script", [True, False], ids=["with-script", "without-script"])


async def patch_of(desk: Desk, amended: Recorded) -> list[dict[str, object]]:
    data = amended.data
    assert isinstance(data, ArgumentsAmended)
    place = Place(amended.ref, amended.event.event_id, "patch")
    patch: list[dict[str, object]] = json.loads(await desk.stage.masking.sealer.open(data.patch, place, "raw"))
    return patch


@scripted
async def test_amending_changes_just_what_was_changed_and_votes_start_over(desk: Desk, script: bool) -> None:
    findings = (Finding(path="/card", entity="CREDIT_CARD", start=0, end=13),)
    asked = await desk.stage.ask(requirement(quorum=2), arguments=ARGUMENTS, findings=findings)
    async with desk.window(script=script) as context:
        page = await desk.sign_in(context, "fina", "finance")
        await page.goto(f"/approvals/{asked.ref}")
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_text("You approved this call.")).to_be_visible()
        await page.get_by_role("link", name="Change the arguments…").click()

        await page.get_by_role("button", name="Change the arguments").click()
        await expect(page.get_by_role("alert")).to_have_text(
            "You changed nothing: change an argument, or go back and approve."
        )
        await page.get_by_label("amount number").fill("4O")
        await page.get_by_label("Reason").fill("the invoice says 40")
        await page.get_by_role("button", name="Change the arguments").click()
        await expect(page.get_by_role("alert")).to_have_text("amount: write 40 or 12.5.")
        await expect(page.get_by_label("Reason")).to_have_value("the invoice says 40")
        await page.get_by_label("amount number").fill("40")
        await page.get_by_label("vip yes/no").select_option("false")
        await expect(page.get_by_label("odd text, written as JSON")).to_have_value('"a\\u200bb"')
        await page.get_by_label("remove old").check()
        await page.get_by_text("Add an argument").click()
        await page.get_by_label("Name").fill("currency")
        await page.get_by_label("Value").fill("EUR")
        await page.get_by_role("button", name="Change the arguments").click()
        await expect(page.locator(".standing .tag")).to_have_text("changed")
        amended = await desk.stage.until(asked.ref, "arguments_amended")
        assert await patch_of(desk, amended) == [
            {"op": "replace", "path": "/amount", "value": 40},
            {"op": "replace", "path": "/vip", "value": False},
            {"op": "remove", "path": "/old"},
            {"op": "add", "path": "/currency", "value": "EUR"},
        ]
        after = {**ARGUMENTS, "amount": 40, "vip": False, "currency": "EUR"}
        del after["old"]
        masked = await desk.stage.mask(amended, json.dumps(after).encode(), findings=findings)
        await desk.stage.ask_about(masked, requirement(quorum=2))
        if not script:
            await page.goto(f"/approvals/{asked.ref}")
        await expect(page.get_by_text("You changed the arguments, as shown here.")).to_be_visible()
        await expect(page.locator("#changed")).to_be_hidden()
        await expect(page.get_by_text("asked anew at")).to_be_visible()
        await expect(page.locator(".differences")).to_contain_text(re.compile(r"amount\s+250\s+→becomes\s+40"))
        await expect(page.locator(".differences")).to_contain_text(re.compile(r"old\s+1\s+→becomes\s+\(removed\)"))
        await expect(page.get_by_text("the invoice says 40")).to_be_visible()
        await expect(page.get_by_text("Nobody has voted yet.")).to_be_visible()
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_text("You approved this call.")).to_be_visible()
    chain = await desk.stage.chain(asked.ref)
    assert [type(data) for data in chain[-2:]] == [ApprovalRequired, VoteCast], "the author alone is never enough"


@scripted
async def test_a_grant_is_said_in_words_before_it_is_given_and_can_be_revoked(desk: Desk, script: bool) -> None:
    asked = await desk.stage.ask(arguments={"amount": 250})
    async with desk.window(script=script) as context:
        page = await desk.sign_in(context, "fina", "finance")
        await page.goto(f"/approvals/{asked.ref}")
        await page.get_by_role("link", name="Approve such calls in advance…").click()
        await expect(page.get_by_label("how amount compares")).to_have_value("eq")
        await page.get_by_label("how amount compares").select_option("lte")
        await page.get_by_label("At most so many calls").fill("3")
        await page.get_by_label("Reason").fill("the same customer, all day")
        await page.get_by_role("button", name="Show what it covers").click()
        told = "Calls of payments.refund by bot for rosa, in this session only, where amount is at most 250."
        await expect(page.locator(".good-news")).to_contain_text(told)
        await expect(page.locator(".good-news")).to_contain_text("3 calls at most, for 30 minutes from now.")
        # What was not shown is not given: it is shown first.
        await page.get_by_label("At most so many calls").fill("30")
        await page.get_by_role("button", name="Grant it").click()
        await expect(page.locator(".good-news")).to_contain_text("30 calls at most, for 30 minutes from now.")
        await page.get_by_label("At most so many calls").fill("3")
        await page.get_by_role("button", name="Show anew what it covers").click()
        await page.get_by_role("button", name="Grant it").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("In force now")
        await expect(page.locator(".rules")).to_contain_text(told)
        await expect(page.locator(".rules")).to_contain_text("the same customer, all day")
        await expect(page.locator(".rules")).to_contain_text("3 of 3 left")
        revoke = await page.get_by_role("button", name="Revoke").bounding_box()
        assert revoke is not None
        assert revoke["height"] < revoke["width"], "on one line"
        await page.get_by_role("button", name="Revoke").click()
        await expect(page.get_by_text("No grant that you gave, or could have given, is in force.")).to_be_visible()
    assert (await desk.state_of(asked)).NAME == "approval_required", "a grant is for the calls that follow"


async def test_a_grant_is_offered_only_where_one_approval_would_do(desk: Desk) -> None:
    asked = await desk.stage.ask(requirement(quorum=2))
    async with desk.window() as context:
        page = await desk.sign_in(context, "fina", "finance")
        await page.goto(f"/approvals/{asked.ref}")
        await expect(page.get_by_role("link", name="Change the arguments…")).to_be_visible()
        await expect(page.get_by_role("link", name="Approve such calls in advance…")).to_have_count(0)
        await expect(page.get_by_role("link", name="Freeze…")).to_have_count(0)
        answer = await page.goto(f"/approvals/{asked.ref}/grant")
        assert answer is not None
        assert answer.status == 403


@scripted
async def test_freezing_cancels_what_waits_until_it_is_lifted(desk: Desk, script: bool) -> None:
    asked = await desk.stage.ask()
    async with desk.window(script=script) as context:
        page = await desk.sign_in(context, "fina", "finance")
        await desk.let_freeze(page, asked)
        await page.goto("/approvals/in-force")
        await expect(page.locator("#known option[value=bot]")).to_have_text("agent")
        await page.goto(f"/approvals/{asked.ref}/freeze")
        await expect(page.get_by_role("link", name="Cancel")).to_be_visible()
        await page.get_by_label("the agent bot").check()
        await page.get_by_label("Reason").fill("it asks the same again and again")
        await page.get_by_role("button", name="Freeze").click()
        await expect(page.locator(".rules")).to_contain_text("it asks the same again and again")
        cancelled = await desk.stage.until(asked.ref, Cancelled.NAME)
        assert isinstance(cancelled.data, Cancelled)
        assert cancelled.data.code == "frozen"
        await expect(page.get_by_role("status").last).to_contain_text("It stops 1 call that waits for people.")
        await page.goto(f"/approvals/{asked.ref}")
        await expect(page.locator(".standing")).to_contain_text("Stopped by a freeze of the agent bot, by fina.")

        async def told() -> bool | None:
            await page.goto("/approvals")
            return (
                True
                if await page.locator(".notice", has_text="Frozen: the agent bot by fina: 1 call").count()
                else None
            )

        await eventually(told)
        await page.goto("/approvals/in-force")
        await page.get_by_role("button", name="Lift").click()
        await expect(page.get_by_text("Nothing that you could freeze or lift is frozen.")).to_be_visible()
        await page.get_by_label("Which").fill("bto")
        await page.get_by_label("Reason").fill("typed in haste")
        await page.get_by_role("button", name="Freeze").click()
        await expect(page.get_by_text("No call of this agent has been seen here: check its name.")).to_be_visible()
        await page.get_by_label("What").select_option("function")
        await page.get_by_label("Which").fill("payments.refnud")
        await page.get_by_label("Reason").fill("typed in haste")
        await page.get_by_role("button", name="Freeze").click()
        await expect(page.get_by_role("alert")).to_contain_text("There is no such function")
        await expect(page.get_by_label("Which")).to_have_value("payments.refnud")


@scripted
async def test_an_unknown_outcome_is_settled(desk: Desk, script: bool) -> None:
    lost = await desk.stage.lose()
    async with desk.window(script=script) as context:
        page = await desk.sign_in(context, "fina", "finance")

        async def shown() -> bool | None:
            await page.goto("/approvals")
            return True if await page.get_by_text("Did it happen?").count() else None

        await eventually(shown)
        await expect(page.locator(".calls .brief")).to_have_text("amount: 250")
        await expect(page.locator(".calls .meta")).to_contain_text(lost.ref.session_id)
        await page.get_by_role("link", name="payments.refund").click()
        key = page.locator("dt", has_text="Idempotency-Key").locator("xpath=following-sibling::dd[1]")
        await expect(key).to_contain_text(lost.ref.call_id)
        await page.get_by_label("It was done.").check()
        await page.get_by_label("Reason").fill("the bank's statement has it")
        await page.get_by_label("Evidence").fill("statement 2026-11, line 4")
        await page.get_by_label("Result").fill('{"refund": re_17}')
        await page.get_by_role("button", name="Settle").click()
        await expect(page.get_by_role("alert")).to_contain_text("The result is JSON")
        await expect(page.get_by_label("Evidence")).to_have_value("statement 2026-11, line 4")
        await page.get_by_label("Result").fill('{"refund": "re_17"}')
        await page.get_by_role("button", name="Settle").click()
        said = page.locator("section", has=page.get_by_role("heading", name="What was said of it"))
        await expect(said).to_contain_text("It was done.")
        await expect(said).to_contain_text("fina")
        await expect(said).to_contain_text("the bank's statement has it")
        await expect(said).to_contain_text("statement 2026-11, line 4")
        await expect(page.get_by_text("The agent is told: running")).to_be_visible()
    data = await desk.state_of(lost)
    assert isinstance(data, OutcomeSettled)
    assert (data.by.id, data.outcome) == ("fina", "done")
    assert data.result is not None


async def test_the_list_is_paged_and_narrowed(desk: Desk) -> None:
    for number in range(101):
        await desk.stage.ask(requirement(minutes=10 + number), arguments={"amount": number})
    async with desk.window() as context:
        page = await desk.sign_in(context, "fina", "finance")
        await expect(page.locator(".title .tag")).to_have_text("101")
        await expect(page.locator(".calls li")).to_have_count(100)
        await page.get_by_role("link", name="Later →").click()
        await expect(page.locator(".calls li")).to_have_count(1)
        await expect(page.locator(".brief")).to_have_text("amount: 100")
        await page.goto("/approvals?requester=nobody")
        await expect(page.get_by_text("Nothing of that kind waits.")).to_be_visible()
        await page.get_by_role("link", name="Show everything that waits for you").click()
        await expect(page.locator(".calls li")).to_have_count(100)


async def reject(page: Page, reason: str) -> None:
    await page.get_by_label("Reason").fill(reason)
    await page.get_by_role("button", name="Reject").click()


async def test_earlier_decisions_and_the_session_are_shown(desk: Desk) -> None:
    first = await desk.stage.ask()
    second = await desk.stage.ask(session_id=first.ref.session_id)
    async with desk.window() as context:
        page = await desk.sign_in(context, "fina", "finance")
        await page.goto(f"/approvals/{first.ref}")
        await reject(page, "not like this")
        await expect(page.get_by_text("You rejected this call.")).to_be_visible()
        await expect(page.get_by_text("rejection ends it")).to_have_count(0)

        async def told() -> bool | None:
            await page.goto(f"/approvals/{second.ref}")
            return True if await page.locator(".past .tag.rejected").count() == 2 else None

        await eventually(told)
        await expect(page.get_by_text("by fina")).to_be_visible()
        await page.goto(f"/approvals/{first.ref}")
        await expect(page.get_by_text("None that is known here.")).to_be_visible()
    assert isinstance(await desk.state_of(first), Rejected)
    assert not isinstance(await desk.state_of(second), Approved)
