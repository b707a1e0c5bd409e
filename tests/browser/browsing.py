"""A headless Chromium for a test: Debian's, or the one that Playwright installed."""

import contextlib
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Skips the test with a message where no Chromium is installed."""
    async with async_playwright() as playwright:
        # `which` takes a path too: Playwright's own says where it would be.
        names = ("chromium", "chromium-browser", "google-chrome", playwright.chromium.executable_path)
        executable = next((found for found in map(shutil.which, names) if found), None)
        if executable is None:
            pytest.skip("no Chromium: install Debian's `chromium`, or run `playwright install chromium`")
        browser = await playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()
