"""A workflow of Microsoft Teams for a test, on loopback: as strict about a card as the real one where it matters.

Shape and limits: https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
and https://adaptivecards.io/explorer.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

LIMIT = 28 * 1024
_BLOCK = {"type", "inlines", "spacing"}
_RUN = {"type", "text", "size", "weight"}


@dataclass
class Card:
    """One message of a channel."""

    channel: str
    words: list[str]
    """The text of each of its blocks."""
    links: list[tuple[str, str]]


@dataclass
class TeamsStandIn:
    url: str = ""
    cards: list[Card] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What the real one would not have taken either."""
    answers: list[int] = field(default_factory=list)
    """The next statuses; then 202."""
    asked: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, done: Callable[[], Any]) -> Any:
        async with asyncio.timeout(20), self._changed:
            return await self._changed.wait_for(done)

    async def received(self, count: int) -> list[Card]:
        await self.until(lambda: len(self.cards) >= count)
        return self.cards

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        status = self.answers.pop(0) if self.answers else 202
        async with self._changed:
            self.asked += 1
            problem = check(request.content_type, body)
            if problem is not None:
                self.refused.append(problem)
                status = 400
            elif status == 202:
                self.cards.append(_card(request.match_info["channel"], json.loads(body)))
            self._changed.notify_all()
        return web.Response(status=status)


def check(content_type: str, body: bytes) -> str | None:
    """What is wrong with a message, or None."""
    if content_type != "application/json":
        return "content type"
    if len(body) > LIMIT:
        return "too large"
    message = json.loads(body)
    if message.keys() != {"type", "attachments"} or message["type"] != "message" or len(message["attachments"]) != 1:
        return "message"
    (attachment,) = message["attachments"]
    card = attachment["content"]
    if attachment["contentType"] != "application/vnd.microsoft.card.adaptive" or card["type"] != "AdaptiveCard":
        return "attachment"
    if card["version"] not in ("1.0", "1.1", "1.2", "1.3", "1.4", "1.5"):
        return "version"
    if not card["body"] or not all(map(_is_block, card["body"])):
        return "body"
    return None if all(map(_is_link, card["actions"])) and len(card["actions"]) <= 6 else "actions"


def _is_block(block: Mapping[str, Any]) -> bool:
    return (
        block["type"] == "RichTextBlock"
        and block.keys() <= _BLOCK
        and bool(block["inlines"])
        and all(
            run["type"] == "TextRun" and run.keys() <= _RUN and isinstance(run["text"], str) for run in block["inlines"]
        )
    )


def _is_link(action: Mapping[str, Any]) -> bool:
    url: str = action["url"]
    return action["type"] == "Action.OpenUrl" and url.startswith(("http://", "https://")) and bool(action["title"])


def _card(channel: str, message: Mapping[str, Any]) -> Card:
    content = message["attachments"][0]["content"]
    words = ["".join(run["text"] for run in block["inlines"]) for block in content["body"]]
    return Card(channel, words, [(action["title"], action["url"]) for action in content["actions"]])


@contextlib.asynccontextmanager
async def teams_stand_in() -> AsyncIterator[TeamsStandIn]:
    here = TeamsStandIn()
    app = web.Application()
    app.router.add_post("/workflows/{channel}", here.take)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    here.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/workflows"  # type: ignore[attr-defined]
    try:
        yield here
    finally:
        await runner.cleanup()
