"""Browser tests run the real services, put together by what the integration tests put them together with."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from desks import Desk, reviewers_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Fails the test where a browser had anything to complain of."""
    async with reviewers_desk(tmp_path) as opened:
        yield opened
        assert opened.problems == []
