"""A reviewer's desk: the real service on a real log, and browsers that look at it."""

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from approval_scene import POLICIES, Scene, eventually, scene
from browsing import chromium
from doors import serving
from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from contracts.events import EventData, Recorded
from contracts.identity import Role
from services.approval.app import build

SCREENSHOTS = os.environ.get("CALLGATE_SCREENSHOTS")
"""A folder to put screenshots into."""


_FREEZERS = """
@id("finance-freezes")
permit(principal in Group::"finance", action in [Action::"freeze", Action::"unfreeze"], resource);
"""


@dataclass
class Desk:
    stage: Scene
    url: str
    browser: Browser
    problems: list[str] = field(default_factory=list)
    """What a browser complained of: violations of the content security policy, errors of the script, dialogs."""

    @contextlib.asynccontextmanager
    async def window(self, *, script: bool = True, **options: Any) -> AsyncIterator[BrowserContext]:
        """A browser of somebody's own; without JavaScript unless `script`."""
        context = await self.browser.new_context(base_url=self.url, java_script_enabled=script, **options)
        context.set_default_timeout(15_000)
        context.on("console", lambda message: self._complain(message.type, message.text))
        context.on("weberror", lambda error: self.problems.append(str(error.error)))
        context.on("dialog", lambda dialog: self.problems.append(dialog.message))
        try:
            yield context
        finally:
            await context.close()

    def _complain(self, kind: str, text: str) -> None:
        # An answer of 4xx is no fault of the page.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource: the server responded"):
            self.problems.append(text)

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

    async def let_freeze(self, page: Page, asked: Recorded) -> None:
        """Whoever is of finance may freeze, once this returns; `page` is one of theirs, on which `asked` waits."""
        await self.stage.publish_policies(POLICIES + _FREEZERS)

        async def offered() -> bool | None:
            await page.goto(f"/approvals/{asked.ref}")
            return True if await page.get_by_role("link", name="Freeze…").count() else None

        await eventually(offered)

    async def state_of(self, asked: Recorded) -> EventData:
        return (await self.stage.chain(asked.ref))[-1]


@contextlib.asynccontextmanager
async def reviewers_desk(folder: Path) -> AsyncIterator[Desk]:
    async with (
        chromium() as browser,
        scene(folder, secure_cookies=False) as stage,
        serving(stage.here, (Role.APPROVAL, build)) as url,
        aiohttp.ClientSession(url) as http,
    ):

        async def ready() -> bool | None:
            async with http.get("/health") as answer:
                return True if answer.status == 200 else None

        await eventually(ready)
        yield Desk(stage, url, browser)


async def live(page: Page) -> None:
    """Waits until the page is told of what changes."""
    await expect(page.locator("#live")).to_have_attribute("data-state", "on")


def announcement(page: Page) -> Locator:
    """What a screen reader is told."""
    return page.locator("#announcement")


async def shoot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        await page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)
