"""Signing in, out, and being signed out, in a real browser between the pages and the development issuer."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from browsing import chromium
from desks import shoot
from playwright.async_api import BrowserContext, Page, expect
from sign_in_scene import Doors, signing_in

pytestmark = pytest.mark.browser


@contextlib.asynccontextmanager
async def opened(folder: Path, **approval: Any) -> AsyncIterator["Scene"]:
    async with chromium() as browser, signing_in(folder, **approval) as doors:
        yield Scene(browser, doors)


class Scene:
    def __init__(self, browser: Any, doors: Doors) -> None:
        self.browser = browser
        self.doors = doors
        self.problems: list[str] = []

    @contextlib.asynccontextmanager
    async def window(self, **options: Any) -> AsyncIterator[BrowserContext]:
        context = await self.browser.new_context(base_url=self.doors.url, **options)
        context.set_default_timeout(15_000)
        context.on("console", lambda message: self._complain(message.type, message.text))
        try:
            yield context
        finally:
            await context.close()
        assert self.problems == []

    def _complain(self, kind: str, text: str) -> None:
        # An answer of 4xx is no fault of the page.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource: the server responded"):
            self.problems.append(text)


async def sign_in(page: Page, sub: str) -> None:
    """From the sign-in page."""
    await page.get_by_role("link", name="Sign in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in as")
    await page.get_by_role("button", name=f"Sign in as {sub}").click()


@pytest.mark.parametrize("script", [True, False])
async def test_a_newcomer_signs_in_with_two_clicks_and_out_again(tmp_path: Path, script: bool) -> None:
    async with opened(tmp_path) as scene, scene.window(java_script_enabled=script) as context:
        page = await context.new_page()
        await page.goto("/")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        await sign_in(page, "rosa")
        await expect(page.locator("form.who")).to_contain_text("rosa")
        assert page.url == f"{scene.doors.url}/approvals"

        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Signed out")
        await page.get_by_role("link", name="Sign out of the development issuer").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        await page.go_back()
        await page.goto("/approvals")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")

        await sign_in(page, "fay")
        await expect(page.locator("form.who")).to_contain_text("fay")


async def test_a_link_from_elsewhere_finds_who_is_signed_in_and_a_form_from_elsewhere_does_nothing(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as scene, scene.window() as context:
        page = await context.new_page()
        await page.goto("/approvals")
        await sign_in(page, "rosa")
        await expect(page.locator("form.who")).to_contain_text("rosa")
        # `localhost` is another site than 127.0.0.1 to a browser, as Slack is.
        elsewhere = scene.doors.url.replace("127.0.0.1", "localhost")
        form = f'<form method="post" action="{scene.doors.url}/approvals/sign-out"><button>Win</button></form>'
        html = f'<a href="{scene.doors.url}/approvals">Open</a>{form}'
        await context.route(f"{elsewhere}/post.html", lambda route: route.fulfill(body=html, content_type="text/html"))
        await page.goto(f"{elsewhere}/post.html")
        await page.get_by_role("link", name="Open").click()
        await expect(page.locator("form.who")).to_contain_text("rosa")
        await page.goto(f"{elsewhere}/post.html")
        await page.get_by_role("button", name="Win").click()
        await expect(page.get_by_role("alert")).to_contain_text("another site")
        await page.goto("/approvals")
        await expect(page.locator("form.who")).to_contain_text("rosa")


async def test_a_session_that_is_over_leads_back_to_the_same_page(tmp_path: Path) -> None:
    async with opened(tmp_path, session_hours=2 / 3600) as scene, scene.window() as context:
        page = await context.new_page()
        await page.goto("/approvals")
        await sign_in(page, "rosa")

        async def over() -> bool:
            await page.goto("/approvals/in-force")
            return await page.get_by_role("alert").count() == 1

        while not await over():
            await page.wait_for_load_state()
        await expect(page.get_by_role("alert")).to_contain_text("the session is over; sign in again")
        await sign_in(page, "rosa")
        await expect(page).to_have_url(f"{scene.doors.url}/approvals/in-force")


async def test_with_the_keyboard_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as scene, scene.window() as context:
        page = await context.new_page()
        await page.goto("/approvals")
        await page.get_by_role("link", name="Sign in").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in as")
        for _ in range(2):
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("form.who")).to_contain_text("rosa")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone_nothing_scrolls_sideways_and_everything_is_big_enough(tmp_path: Path, scheme: str) -> None:
    async with (
        opened(tmp_path) as scene,
        scene.window(viewport={"width": 320, "height": 640}, color_scheme=scheme, has_touch=True) as context,
    ):
        page = await context.new_page()
        await page.goto("/approvals")
        await _fits(page, f"sign-in-{scheme}")
        await page.get_by_role("link", name="Sign in").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in as")
        await _fits(page, f"issuer-{scheme}")
        await page.get_by_role("button", name="Sign in as rosa").tap()
        await page.get_by_role("button", name="Sign out").tap()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Signed out")
        await _fits(page, f"signed-out-{scheme}")


async def _fits(page: Page, name: str) -> None:
    await shoot(page, name)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    for target in await page.locator("main button, main a.button").all():
        box = await target.bounding_box()
        assert box is not None
        assert box["height"] >= 44, "a finger's size (WCAG 2.2, 2.5.5)"
