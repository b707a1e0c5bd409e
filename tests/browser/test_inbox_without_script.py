"""The inbox in a real browser, as it is without JavaScript."""

import re

import pytest
from approval_scene import requirement
from desks import Desk
from playwright.async_api import BrowserContext, Page, expect

from contracts.events import Approved, Finding, Rejected

pytestmark = pytest.mark.browser

HOSTILE = {
    "amount": 250,
    "note": "<script>document.title='owned'</script><img src=x onerror=alert(1)>",
    "customer": {"name": "refund to \u202etfihs\u202c me", "id\u200b": "A\u00a0B"},
    "payee": "p\u0430ypal",
    "button": '</td></tr></table><form class="vote"><button name="decision" value="approve">Approve</button></form>',
    "card": "[CREDIT_CARD]",
    "memo": "word " * 200 + "unbroken" * 60,
    "lines": [],
    "vip": True,
}


async def test_a_reviewer_approves_and_another_rejects_with_a_reason(desk: Desk) -> None:
    approved = await desk.stage.ask()
    async with desk.window(script=False) as context:
        page = await desk.sign_in(context, "fina", "finance")
        await desk.listed(page, 1)
        await page.get_by_role("link", name="payments.refund").click()
        await expect(page.get_by_text("Refunds above 100 are decided by two people in finance.")).to_be_visible()
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_text("You approved this call.")).to_be_visible()
        assert page.url == f"{desk.url}/approvals/{approved.ref}"
        assert await page.get_by_role("button", name="Approve").count() == 0
    assert isinstance(await desk.state_of(approved), Approved)

    rejected = await desk.stage.ask(requirement(quorum=2))
    async with desk.window(script=False) as context:
        page = await desk.sign_in(context, "finn", "finance")
        await desk.listed(page, 1)
        await page.get_by_role("link", name="payments.refund").click()
        await page.get_by_role("button", name="Reject").click()
        await expect(page.get_by_role("alert")).to_have_text("Say why: the agent is told.")
        await expect(page.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
        await page.get_by_label("Reason").fill("not our <b>customer</b>")
        await page.get_by_role("button", name="Reject").click()
        await expect(page.get_by_text("You rejected this call.")).to_be_visible()
        await expect(page.locator(".votes")).to_contain_text("not our <b>customer</b>")
        await desk.listed(page, 0)
        await expect(page.get_by_text("Nothing waits for your decision.")).to_be_visible()
    end = await desk.state_of(rejected)
    assert isinstance(end, Rejected)
    assert end.by == "finn"


async def test_a_hostile_argument_is_inert_and_nothing_is_hidden(desk: Desk) -> None:
    findings = (Finding(path="/card", entity="CREDIT_CARD", start=0, end=13),)
    asked = await desk.stage.ask(requirement(quorum=2), arguments=HOSTILE, findings=findings)
    # With JavaScript on: what is inert must be so by escaping and policy, not because the browser runs nothing.
    async with desk.window() as context:
        page = await desk.sign_in(context, "fina", "finance")
        await page.goto(f"/approvals/{asked.ref}")
        assert await page.title() == "payments.refund · Callgate"
        assert await page.locator("main script, main img, main style").count() == 0
        assert await page.locator("script").count() == 1
        await expect(page.locator("tr", has_text="note").locator("td.value")).to_contain_text("<script>")
        shown = await page.locator(".hidden-character").all_text_contents()
        assert shown == ["U+202E", "U+202C", "U+200B", "U+00A0"]
        await expect(page.locator(".look-alike")).to_have_text("\u0430U+0430")
        await expect(page.locator(".look-alike")).to_have_attribute("title", re.compile("CYRILLIC SMALL LETTER A"))
        await expect(page.locator("tr", has_text="card").locator(".tag.masked")).to_have_text("masked CREDIT_CARD")
        await expect(page.get_by_role("button", name="Approve")).to_have_count(1)
        await page.locator(".value summary").click()
        await expect(page.locator(".value details .text")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone_nothing_scrolls_sideways(desk: Desk, scheme: str) -> None:
    findings = (Finding(path="/card", entity="CREDIT_CARD", start=0, end=13),)
    asked = await desk.stage.ask(requirement(), arguments=HOSTILE, findings=findings)
    for width in (320, 390, 1280):
        async with desk.window(script=False, viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
            page = await desk.sign_in(context, "fina", "finance")
            call = f"/approvals/{asked.ref}"
            forms = (f"{call}/amend", f"{call}/freeze", f"{call}/grant")
            for path in ("/approvals/sign-in", "/approvals", call, *forms, "/approvals/in-force", "/approvals/nothing"):
                await page.goto(path)
                assert await _scroll_width(context, page) <= width, path


async def _scroll_width(context: BrowserContext, page: Page) -> int:
    """The layout's full width, from the browser's protocol since the page runs no script."""
    session = await context.new_cdp_session(page)
    metrics = await session.send("Page.getLayoutMetrics")
    return int(metrics["cssContentSize"]["width"])


async def test_a_keyboard_is_enough(desk: Desk) -> None:
    asked = await desk.stage.ask()
    async with desk.window(script=False) as context:
        page = await desk.sign_in(context, "fina", "finance")
        await page.goto(f"/approvals/{asked.ref}")
        await page.get_by_label("Reason").focus()
        await page.keyboard.type("fine")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Approve")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("You approved this call.")).to_be_visible()
    assert isinstance(await desk.state_of(asked), Approved)


async def test_errors_are_pages(desk: Desk) -> None:
    asked = await desk.stage.ask()
    async with desk.window(script=False) as context:
        page = await context.new_page()
        await page.goto("/approvals")
        await page.get_by_label("Access token").fill("nonsense")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("Not signed in")
        page = await desk.sign_in(context, "rosa", "finance")
        answer = await page.goto(f"/approvals/{asked.ref}")
        assert answer is not None
        assert answer.status == 403
        await expect(page.get_by_role("alert")).to_contain_text("Nobody decides on their own call")
        answer = await page.goto("/approvals/no/such/page")
        assert answer is not None
        assert answer.status == 404
        await expect(page.get_by_role("alert")).to_have_text("There is no such page.")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Signed out")
        await page.goto("/approvals")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


async def test_a_call_decided_meanwhile_says_so(desk: Desk) -> None:
    asked = await desk.stage.ask()
    async with desk.window(script=False) as one, desk.window(script=False) as two:
        late = await desk.sign_in(one, "fina", "finance")
        await late.goto(f"/approvals/{asked.ref}")
        first = await desk.sign_in(two, "finn", "finance")
        await first.goto(f"/approvals/{asked.ref}")
        await first.get_by_role("button", name="Approve").click()
        await expect(first.get_by_text("You approved this call.")).to_be_visible()
        await late.get_by_role("button", name="Reject").click()
        await expect(late.get_by_role("alert")).to_have_text("The call does not wait for a decision any more.")


async def test_forms_from_elsewhere_do_nothing(desk: Desk) -> None:
    asked = await desk.stage.ask()
    async with desk.window(script=False) as context:
        page = await desk.sign_in(context, "fina", "finance")
        (cookie,) = await context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        await page.goto(f"/approvals/{asked.ref}")
        code = await page.locator("form.vote input[name=code]").get_attribute("value")
        digest = await page.locator("form.vote input[name=digest]").get_attribute("value")
        form: dict[str, str | float | bool] = {"decision": "approve", "digest": digest or "", "code": code or ""}
        target = f"/approvals/{asked.ref}/vote"
        for headers, fields in (
            ({"Origin": "https://evil.example"}, form),
            ({}, form),
            ({"Origin": desk.url, "Sec-Fetch-Site": "cross-site"}, form),
            ({"Origin": desk.url}, form | {"code": "0" * 64}),
            ({"Origin": desk.url}, form | {"digest": "0" * 64}),
        ):
            answer = await context.request.post(target, form=fields, headers=headers)
            assert answer.status == 403, headers
        assert (await desk.state_of(asked)).NAME == "approval_required"
        answer = await context.request.post(target, form=form, headers={"Origin": desk.url}, max_redirects=0)
        assert answer.status == 303
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in policy
