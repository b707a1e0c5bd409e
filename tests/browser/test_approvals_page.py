"""The reviewers' pages in a real browser, without JavaScript."""

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from approval_scene import Scene, eventually, requirement, scene
from browsing import chromium
from doors import serving
from playwright.async_api import Browser, BrowserContext, Page, expect

from contracts.events import Approved, Finding, Recorded, Rejected
from contracts.identity import Role
from services.approval.app import build

pytestmark = pytest.mark.browser

HOSTILE = {
    "amount": 250,
    "note": "<script>document.title='owned'</script><img src=x onerror=alert(1)>",
    "customer": {"name": "refund to \u202etfihs\u202c me", "id\u200b": "A\u00a0B"},
    "card": "[CREDIT_CARD]",
    "memo": "word " * 200 + "unbroken" * 60,
    "lines": [],
    "vip": True,
}
SCREENSHOTS = os.environ.get("CALLGATE_SCREENSHOTS")
"""A folder to put screenshots into."""


@dataclass
class Desk:
    stage: Scene
    url: str
    browser: Browser

    @contextlib.asynccontextmanager
    async def window(self, **options: Any) -> AsyncIterator[BrowserContext]:
        context = await self.browser.new_context(base_url=self.url, java_script_enabled=False, **options)
        context.set_default_timeout(15_000)
        try:
            yield context
        finally:
            await context.close()

    async def sign_in(self, context: BrowserContext, sub: str, *groups: str) -> Page:
        page = await context.new_page()
        await page.goto("/approvals")
        await page.get_by_label("Access token").fill(self.stage.issuer.mint(sub, list(groups)))
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for you")
        return page

    async def listed(self, page: Page, count: int) -> None:
        """Reloads until that many calls are listed: without JavaScript a page does not follow."""

        async def shown() -> bool | None:
            await page.goto("/approvals")
            return True if await page.locator(".calls li").count() == count else None

        await eventually(shown)

    async def state_of(self, asked: Recorded) -> Any:
        return (await self.stage.chain(asked.ref))[-1]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with (
        chromium() as browser,
        scene(tmp_path, secure_cookies=False) as stage,
        serving(stage.here, (Role.APPROVAL, build)) as url,
        aiohttp.ClientSession(url) as http,
    ):

        async def ready() -> bool | None:
            async with http.get("/health") as answer:
                return True if answer.status == 200 else None

        await eventually(ready)
        yield Desk(stage, url, browser)


async def shoot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        await page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)


async def test_a_reviewer_approves_and_another_rejects_with_a_reason(desk: Desk) -> None:
    approved = await desk.stage.ask()
    async with desk.window() as context:
        page = await desk.sign_in(context, "fina", "finance")
        await desk.listed(page, 1)
        await shoot(page, "list")
        await page.get_by_role("link", name="payments.refund").click()
        await expect(page.get_by_text("Refunds above 100 are decided by two people in finance.")).to_be_visible()
        await page.get_by_role("button", name="Approve").click()
        await expect(page.get_by_text("You approved this call.")).to_be_visible()
        assert page.url == f"{desk.url}/approvals/{approved.ref}"
        assert await page.get_by_role("button", name="Approve").count() == 0
    assert isinstance(await desk.state_of(approved), Approved)

    rejected = await desk.stage.ask(requirement(quorum=2))
    async with desk.window() as context:
        page = await desk.sign_in(context, "finn", "finance")
        await desk.listed(page, 1)
        await page.get_by_role("link", name="payments.refund").click()
        await page.get_by_label("Reason").fill("not our <b>customer</b>")
        await page.get_by_role("button", name="Reject").click()
        await expect(page.get_by_text("You rejected this call.")).to_be_visible()
        await expect(page.locator(".votes")).to_contain_text("not our <b>customer</b>")
        await desk.listed(page, 0)
        await expect(page.get_by_text("Nothing waits for your decision.")).to_be_visible()
        await shoot(page, "empty")
    end = await desk.state_of(rejected)
    assert isinstance(end, Rejected)
    assert end.by == "finn"


async def test_a_hostile_argument_is_inert_and_nothing_is_hidden(desk: Desk) -> None:
    findings = (Finding(path="/card", entity="CREDIT_CARD", start=0, end=13),)
    asked = await desk.stage.ask(requirement(quorum=2), arguments=HOSTILE, findings=findings)
    # With JavaScript on: what is inert must be so by escaping and policy, not because the browser runs nothing.
    context = await desk.browser.new_context(base_url=desk.url)
    try:
        page = await desk.sign_in(context, "fina", "finance")
        problems: list[str] = []
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(f"/approvals/{asked.ref}")
        assert await page.title() == "payments.refund · Callgate"
        assert await page.locator("script, img").count() == 0
        await expect(page.locator("tr", has_text="note").locator("td.value")).to_contain_text("<script>")
        shown = await page.locator(".hidden-character").all_text_contents()
        assert shown == ["U+202E", "U+202C", "U+200B", "U+00A0"]
        await expect(page.locator("tr", has_text="card").locator(".tag.masked")).to_have_text("masked CREDIT_CARD")
        await page.locator("summary").click()
        await expect(page.locator("details .text")).to_be_visible()
        assert problems == []
    finally:
        await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone_nothing_scrolls_sideways(desk: Desk, scheme: str) -> None:
    findings = (Finding(path="/card", entity="CREDIT_CARD", start=0, end=13),)
    asked = await desk.stage.ask(requirement(quorum=2), arguments=HOSTILE, findings=findings)
    for width in (320, 390, 1280):
        async with desk.window(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
            page = await desk.sign_in(context, "fina", "finance")
            for path in ("/approvals/sign-in", "/approvals", f"/approvals/{asked.ref}", "/approvals/nothing"):
                await page.goto(path)
                name = path.rpartition("/")[2][:10]
                await shoot(page, f"{scheme}-{width}-{name}")
                assert await _scroll_width(context, page) <= width, path


async def _scroll_width(context: BrowserContext, page: Page) -> int:
    """The layout's full width, from the browser's protocol since the page runs no script."""
    session = await context.new_cdp_session(page)
    metrics = await session.send("Page.getLayoutMetrics")
    return int(metrics["cssContentSize"]["width"])


async def test_a_keyboard_is_enough(desk: Desk) -> None:
    asked = await desk.stage.ask()
    async with desk.window() as context:
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
    async with desk.window() as context:
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
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        await page.goto("/approvals")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


async def test_a_call_decided_meanwhile_says_so(desk: Desk) -> None:
    asked = await desk.stage.ask()
    async with desk.window() as one, desk.window() as two:
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
    async with desk.window() as context:
        page = await desk.sign_in(context, "fina", "finance")
        (cookie,) = await context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
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
        assert "script-src" not in policy
        assert policy.startswith("default-src 'none'")
