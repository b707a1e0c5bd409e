"""The inbox as its script makes it: it follows what happens elsewhere, and loses nothing that somebody typed."""

import asyncio
import re
from datetime import timedelta

import pytest
from approval_scene import requirement
from desks import Desk, announcement, live
from doors import serving
from playwright.async_api import Page, expect

from callgate.delivery import now
from contracts.events import ApprovalExpired, Approved, VoteCast
from contracts.identity import Principal, Role
from services.approval.app import build

pytestmark = pytest.mark.browser


async def vote(page: Page, reason: str, button: str = "Approve") -> None:
    await page.get_by_label("Reason").fill(reason)
    await page.get_by_role("button", name=button).click()


async def test_the_list_follows_what_comes_and_what_others_decide(desk: Desk) -> None:
    async with desk.window() as one, desk.window() as two:
        page = await desk.sign_in(one, "fina", "finance")
        await live(page)
        await expect(page.get_by_text("Nothing waits for your decision.")).to_be_visible()
        asked = await desk.stage.ask(requirement(quorum=2))
        await expect(page.locator(".calls li")).to_have_count(1)
        await expect(page).to_have_title("(1) Waiting for you · Callgate")
        await expect(announcement(page)).to_have_text("1 call waits for you.")
        await expect(page.locator(".calls .countdown")).to_have_text(re.compile(r"14:\d\d left"))

        other = await desk.sign_in(two, "finn", "finance")
        await other.goto(f"/approvals/{asked.ref}")
        await vote(other, "fine")
        await expect(page.locator(".calls .right")).to_contain_text("1 of 2")
        await other.get_by_label("Reason").fill("no, after all")
        await other.get_by_role("button", name="Reject").click()
        await expect(page.get_by_text("Nothing waits for your decision.")).to_be_visible()
        await expect(page).to_have_title("Waiting for you · Callgate")


async def test_what_is_in_force_follows_who_freezes_and_lifts(desk: Desk) -> None:
    asked = await desk.stage.ask(requester=Principal(id="another", issuer="https://issuer.example"))
    async with desk.window() as one, desk.window() as two:
        page, other = await desk.sign_in(one, "fina", "finance"), await desk.sign_in(two, "finn", "finance")
        await desk.let_freeze(page, asked)
        for each in (page, other):
            await each.goto("/approvals/in-force")
        await live(page)
        await page.get_by_label("Reason").fill("a thought half")
        await other.get_by_label("Which").fill("bot")
        await other.get_by_label("Reason").fill("it asks the same again and again")
        await other.get_by_role("button", name="Freeze").click()
        await expect(page.locator(".rules")).to_contain_text("it asks the same again and again")
        await expect(announcement(page)).to_have_text("1 freeze and 0 grants in force.")
        await expect(page.get_by_label("Reason")).to_have_value("a thought half")
        await other.get_by_role("button", name="Lift").click()
        await expect(page.get_by_text("Nothing that you could freeze or lift is frozen.")).to_be_visible()


async def test_a_half_typed_reason_survives_what_others_do(desk: Desk) -> None:
    asked = await desk.stage.ask(requirement(quorum=2))
    async with desk.window() as one, desk.window() as two:
        page = await desk.sign_in(one, "fina", "finance")
        await page.goto(f"/approvals/{asked.ref}")
        await live(page)
        reason = page.get_by_label("Reason")
        await reason.focus()
        await page.keyboard.type("the customer cal")
        await page.keyboard.press("ArrowLeft")

        other = await desk.sign_in(two, "finn", "finance")
        await other.goto(f"/approvals/{asked.ref}")
        await vote(other, "carrier lost it")
        await expect(page.locator(".votes")).to_contain_text("carrier lost it")
        await expect(announcement(page)).to_have_text("It waits for one more approval.")
        await expect(reason).to_have_value("the customer cal")
        await expect(reason).to_be_focused()
        await page.keyboard.type("-")
        await expect(reason).to_have_value("the customer ca-l")

        await vote(other, "a second thought", "Reject")
        await expect(announcement(page)).to_have_text("Rejected by finn.")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
        await expect(page.locator("#draft")).to_contain_text("the customer ca-l")


async def test_a_page_that_says_what_was_wrong_goes_on_following(desk: Desk) -> None:
    needs = requirement(quorum=2).model_copy(update={"reason_required": True})
    asked = await desk.stage.ask(needs)
    async with desk.window() as one, desk.window() as two:
        page = await desk.sign_in(one, "fina", "finance")
        await page.goto(f"/approvals/{asked.ref}")
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_role("alert")).to_have_text("This decision needs a reason; say why.")
        await live(page)
        await page.get_by_label("Reason").fill("because")
        other = await desk.sign_in(two, "finn", "finance")
        await other.goto(f"/approvals/{asked.ref}")
        await vote(other, "the carrier says so")
        await expect(page.locator(".votes")).to_contain_text("the carrier says so")
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_text("You approved this call.")).to_be_visible()


async def test_what_a_colleague_changed_must_be_looked_at_before_a_decision(desk: Desk) -> None:
    asked = await desk.stage.ask()
    async with desk.window() as one, desk.window() as two:
        page = await desk.sign_in(one, "fina", "finance")
        await page.goto(f"/approvals/{asked.ref}")
        await live(page)
        await page.get_by_label("Reason").fill("250 is fine")
        other = await desk.sign_in(two, "finn", "finance")
        await other.goto(f"/approvals/{asked.ref}/amend")
        await other.get_by_label("amount number").fill("2500")
        await other.get_by_role("button", name="Change the arguments").click()
        amended = await desk.stage.until(asked.ref, "arguments_amended")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
        await desk.stage.ask_about(await desk.stage.mask(amended, b'{"amount":2500}'))
        await expect(page.locator("#changed")).to_be_visible()
        await expect(page.locator("td.value")).to_have_text("2500")
        await expect(page.get_by_role("button", name="Approve")).to_be_disabled()
        await expect(page.get_by_label("Reason")).to_have_value("250 is fine")
        await page.get_by_role("button", name="I have looked at it again").click()
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_text("You approved this call.")).to_be_visible()
    chain = await desk.stage.chain(asked.ref)
    assert [type(data) for data in chain[-2:]] == [VoteCast, Approved]


async def test_a_call_that_expires_while_looked_at_closes_by_itself(desk: Desk) -> None:
    asked = await desk.stage.ask(requirement(at=now() + timedelta(seconds=9)))
    async with desk.window() as context:
        page = await desk.sign_in(context, "fina", "finance")
        await page.goto(f"/approvals/{asked.ref}")
        await live(page)
        await expect(page.locator(".countdown")).to_have_attribute("data-soon", "")
        await page.get_by_label("Reason").fill("almost")
        over = re.compile(r"The time for a decision is over\.|Nobody decided in time\.")
        await expect(announcement(page)).to_have_text(over, timeout=15_000)
        await expect(page.locator(".standing .tag")).to_have_text("expired", timeout=15_000)
        await expect(page.get_by_role("button", name="Approve")).to_have_count(0)
        await expect(page.locator("#draft")).to_contain_text("almost")
    await desk.stage.until(asked.ref, ApprovalExpired.NAME)


async def test_keys_move_and_open_and_never_decide(desk: Desk) -> None:
    first = await desk.stage.ask(requirement(minutes=5), arguments={"amount": 1})
    second = await desk.stage.ask(requirement(minutes=10), arguments={"amount": 2})
    async with desk.window() as context:
        page = await desk.sign_in(context, "fina", "finance")
        await expect(page.locator(".calls li")).to_have_count(2)
        await page.keyboard.press("j")
        await expect(page.locator(f'a[href="/approvals/{first.ref}"]')).to_be_focused()
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        await expect(page.locator(f'a[href="/approvals/{second.ref}"]')).to_be_focused()
        await page.keyboard.press("k")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{desk.url}/approvals/{first.ref}")
        await live(page)
        await page.keyboard.press("a")
        await expect(page.get_by_role("button", name="Approve")).to_be_focused()
        await page.keyboard.press("r")
        await expect(page.get_by_role("button", name="Reject")).to_be_focused()
        await page.keyboard.press("e")
        await page.keyboard.type("arj?")
        await expect(page.get_by_label("Reason")).to_have_value("arj?")
        assert (await desk.state_of(first)).NAME == "approval_required"
        await page.get_by_role("heading", level=1).click()
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.get_by_label("Take single keys in this browser").uncheck()
        await page.get_by_role("button", name="Close").click()
        await page.locator("#main").focus()
        await page.keyboard.press("u")
        await expect(page).to_have_url(f"{desk.url}/approvals/{first.ref}")


async def test_a_session_that_ends_closes_the_page_and_keeps_what_was_typed(desk: Desk) -> None:
    asked = await desk.stage.ask(requirement(quorum=2))
    async with desk.window() as context, desk.window() as two:
        page = await desk.sign_in(context, "fina", "finance")
        await page.goto(f"/approvals/{asked.ref}")
        await live(page)
        await page.get_by_label("Reason").fill("wait")
        cookies = await context.cookies()
        await context.clear_cookies()
        other = await desk.sign_in(two, "finn", "finance")
        await other.goto(f"/approvals/{asked.ref}")
        await vote(other, "fine")
        await expect(page.locator("#closed")).to_contain_text("You are signed out.")
        await expect(page.get_by_label("Reason")).to_have_value("wait")
        await expect(page.get_by_role("button", name="Approve")).to_be_disabled()

        # As after signing in again in another window.
        await context.add_cookies([{"name": one["name"], "value": one["value"], "url": desk.url} for one in cookies])
        await other.get_by_label("Reason").fill("no")
        await other.get_by_role("button", name="Reject").click()
        await expect(page.locator(".standing .tag")).to_have_text("rejected")
        await expect(page.locator("#closed")).to_be_hidden()


async def test_the_service_stops_at_once_though_pages_are_open(desk: Desk) -> None:
    async with desk.window() as context, asyncio.timeout(60):
        async with serving(desk.stage.here, (Role.APPROVAL, build)) as url:
            page = await context.new_page()
            await page.goto(f"{url}/approvals")
            await page.get_by_label("Access token").fill(desk.stage.issuer.mint("fina", ["finance"]))
            await page.get_by_role("button", name="Sign in").click()
            await live(page)
            stopping = asyncio.get_running_loop().time()
        # uvicorn gives open connections five seconds; a stream that is let go takes none of them.
        assert asyncio.get_running_loop().time() - stopping < 4
        await expect(page.locator("#live")).to_have_attribute("data-state", "off")
        desk.problems.clear()  # the browser complains of connections that are refused
