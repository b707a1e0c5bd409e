"""Runs the demo: sets the stage, plays the steps, closes, and looks at what is left on disk."""

import asyncio
import contextlib
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from callgate.errors import CallgateError
from callgate.settings import Settings, load
from callgate.telemetry import describe
from cli import output
from cli.composition import SERVICES, Deployment, running
from cli.demo import steps
from cli.demo.scan import scan
from cli.demo.stage import PATIENCE, Cast, cast, demo_settings
from cli.demo.steps import Secrets
from cli.demo.telling import Story
from cli.output import styled
from cli.running import STOP_SECONDS, end_within
from examples.demo_agent import ProblemAnswer

STEPS = (
    ("1. The agent reads a customer", steps.reads_a_customer),
    ("2. It deploys to production", steps.deploys_to_production),
    ("3. It exports 5,000 customers", steps.exports_customers),
    ("4. It opens the firewall", steps.changes_the_firewall),
    ("5. It refunds 40 USD to a card", steps.refunds),
    ("6. It uses a tool of an MCP server", steps.uses_a_tool),
)
AUDIT = "7. The auditor replays the session and verifies the log"
DISK = "   … and what lies on disk, once everything has stopped"


async def run_demo(config: Path, state: Path | None) -> int:
    """0 when every step came out as told, 1 when one did not, 130 when interrupted. ConfigurationError."""
    loaded = load(config)
    with contextlib.ExitStack() as folders:
        if state is None:
            state = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="callgate-demo-")))
        settings = demo_settings(loaded, state.absolute())
        playing = asyncio.create_task(_play(settings))
        loop = asyncio.get_running_loop()

        def stop() -> None:
            playing.cancel()
            end_within(STOP_SECONDS)

        # SIGINT too: a shell starts what runs in its background with SIGINT ignored, and Python would keep that.
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        try:
            return await playing
        except asyncio.CancelledError:
            return 130
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


async def _play(settings: Settings) -> int:
    story, secrets, began = Story(), Secrets(), time.perf_counter()
    fresh = not (settings.state / "broker").exists()
    story.begin("Callgate: one agent, two reviewers and an auditor, on real parts")
    async with running(settings) as deployment:
        _introduce(story, deployment)
        story.end()
        async with cast(deployment, settings) as players:
            secrets.texts["credential of the upstream"] = players.upstream.token
            done = await _unless_failed(deployment, _steps(story, players, secrets, deployment, fresh))
    if done:
        _look_at_disk(story, settings, secrets)
    _conclude(story, time.perf_counter() - began)
    return 1 if story.failures or not done else 0


async def _steps(story: Story, players: Cast, secrets: Secrets, deployment: Deployment, fresh: bool) -> None:
    for title, step in STEPS:
        await _step(story, title, lambda step=step: step(story, players, secrets))  # type: ignore[misc]
    await _step(story, AUDIT, lambda: steps.audits(story, players, secrets, deployment.settings, fresh=fresh))


async def _step(story: Story, title: str, play: Callable[[], Awaitable[None]]) -> None:
    """Plays one step; whatever goes wrong in it is told, and the story goes on."""
    story.begin(title)
    try:
        async with asyncio.timeout(PATIENCE):
            await play()
    except ProblemAnswer as problem:
        story.fail(f"Callgate answered {problem}")
    except (CallgateError, aiohttp.ClientError, TimeoutError, LookupError, ValueError) as error:
        story.fail(f"the step broke off: {describe(error)}")
    story.end()


async def _unless_failed(deployment: Deployment, story: Awaitable[None]) -> bool:
    """Whether the story was told to its end; not when the deployment ended under it."""
    telling = asyncio.ensure_future(story)
    try:
        ends: set[asyncio.Future[Any]] = {telling, deployment.failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            await telling
            return True
        error = deployment.failed.result()
        output.error(f"the deployment ended: {describe(error)}")
        return False
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


def _introduce(story: Story, deployment: Deployment) -> None:
    story.line("broker", f"nats-server with JetStream, every write synced, at {deployment.broker_url}")
    story.line("services", f"{', '.join(SERVICES)} at {deployment.url}")
    story.line("upstream", f"customers, payments, deployments, firewall at {deployment.upstream_url}")
    story.line("MCP server", "a support team's notes, started beside it")
    story.line("tokens", f"of a development issuer at {deployment.issuer.url if deployment.issuer else '?'}")
    story.line("state", str(deployment.settings.state))


def _look_at_disk(story: Story, settings: Settings, secrets: Secrets) -> None:
    """Everything under the state folder but the one file that is the credential's own."""
    story.begin(DISK)
    token = settings.state / "development" / "upstream.token"
    known = {"function's name": "payments.refund", "deployment's name": f'"deployment": "{settings.deployment}"'}
    result = scan(settings.state, secrets.texts | known, leave_out=(token,))
    story.line("scanned", f"{result.files} files, {result.bytes:,} bytes, for {', '.join(secrets.texts)}")
    streams = [file for file in result.found("function's name", "plain") if file.startswith("broker/")]
    story.check("the scan finds what is there: a function's name in the broker's files", bool(streams))
    encoded = result.found("deployment's name", "base64")
    story.check("and base64: the deployment's name inside the key ring", "keys/ring.json" in encoded)
    for name in secrets.texts:
        story.check(f"{name}: 0 hits, plain, JSON-escaped, base64 or hex", result.found(name), [])
    story.end()


def _conclude(story: Story, seconds: float) -> None:
    output.say()
    output.say(styled("Figures", "cyan", bold=True))
    for title, milliseconds in story.milliseconds.items():
        output.say(f"  {milliseconds:8.1f} ms  {title.strip()}")
    output.say(f"  {seconds * 1000:8.1f} ms  in all, from nothing to nothing")
    output.say()
    if story.failures:
        output.say(
            styled(f"{len(story.failures)} of {story.checks} checks did not come out as told:", "red", bold=True)
        )
        for failure in story.failures:
            output.say(f"  {failure}")
    else:
        output.say(styled(f"All {story.checks} checks came out as told.", "green", bold=True))
