"""Fixtures of the integration tests: real parts, one deployment a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from deployment import Deployment, running_deployment


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Deployment]:
    """A new deployment on an embedded broker, provisioned and empty."""
    async with running_deployment(tmp_path) as running:
        yield running
