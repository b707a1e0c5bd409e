"""The official conformance suite at /mcp: Callgate itself, as far as a server without its fixtures can, and a server
that has them, straight and through Callgate. Each exception is listed.

Skipped where .ci/run could not install the suite, which needs an npm registry.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conformance_suite import PACKAGES, Report, exceptions, front, lost, run, stale, unexplained
from everything_server import everything
from governed_scene import Governed, eventually, governed

FOLDER = Path(os.environ.get("CALLGATE_TEST_CONFORMANCE", ""))
pytestmark = pytest.mark.skipif(
    not os.environ.get("CALLGATE_TEST_CONFORMANCE"),
    reason="no conformance suite: CALLGATE_TEST_CONFORMANCE names no folder",
)
POLICIES = """
@id("bots") permit(principal in Group::"support-bots", action in Action::"call", resource);
"""


def require_explained(failing: set[str], report: Report, listed: str) -> None:
    excepted = exceptions(listed)
    assert report.passed
    assert not unexplained(failing, excepted)
    assert not stale(failing, report, excepted), f"these pass now: take them out of conformance/{listed}.yaml"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, ingress={"mcp": {"hold": 5}}) as running:
        yield running


@pytest.mark.parametrize("revision", PACKAGES)
async def test_the_door_conforms(scene: Governed, revision: str) -> None:
    async with front(f"{scene.url}/mcp", scene.issuer.mint("support-bot")) as url:
        report = await run(FOLDER, url, revision)
    require_explained(report.failing, report, "door")


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async with everything() as url:
        yield url


@pytest.fixture
async def through(tmp_path: Path, server: str) -> AsyncIterator[str]:
    """The same server behind Callgate, its tools found and allowed."""
    connections = {"everything": {"kind": "mcp", "url": server}}
    async with governed(tmp_path, policies=POLICIES, connections=connections) as scene:

        async def found() -> bool | None:
            _, document = await scene.request("GET", "/v1/functions")
            return any(function["name"] == "everything.greet" for function in document["functions"]) or None

        await eventually(found)
        async with front(f"{scene.url}/mcp", scene.issuer.mint("support-bot"), "everything") as url:
            yield url


@pytest.mark.parametrize("revision", PACKAGES)
async def test_what_passes_straight_passes_through_callgate(server: str, through: str, revision: str) -> None:
    straight, governed = await asyncio.gather(run(FOLDER, server, revision), run(FOLDER, through, revision))
    require_explained(straight.failing, straight, "everything")
    require_explained(lost(straight, governed), governed, "through")
