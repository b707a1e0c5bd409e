"""Fixtures of the integration tests: real parts, one deployment a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("log_suite")

from deployment import Deployment, running_deployment  # noqa: E402


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Deployment]:
    """A new deployment on an embedded broker, provisioned and empty."""
    async with running_deployment(tmp_path) as running:
        yield running
