"""Slack's side for a test: its Web API on loopback, as strict as the real one where it matters, and signed presses.

It refuses what Slack refuses: a wrong token, a method that it does not know, JSON where a form is due, and blocks
beyond the limits of https://docs.slack.dev/reference/block-kit. It keeps what was posted, updated, opened and told.
"""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

TEAM, BOT_TOKEN, APP_TOKEN, SIGNING_SECRET = (
    "T0CALLGATE",
    "xoxb-test-1",
    "xapp-test-1",
    "8f742231b10e8888abcd99yyyzzz85a5",
)
JSON_METHODS = {"chat.postMessage", "chat.update", "chat.postEphemeral", "views.open", "auth.test"}
FORM_METHODS = {"users.info", "conversations.history", "conversations.replies"}
_BLOCKS = {"header", "section", "context", "actions", "divider", "input"}
_BUTTON = {"type", "action_id", "text", "style", "value", "url"}


@dataclass
class Message:
    """One message of a channel, as it stands now."""

    channel: str
    ts: str
    text: str
    blocks: list[Any]
    metadata: Any
    thread_ts: str | None
    at: float
    """When it came, by the monotonic clock."""
    edits: int = 0

    @property
    def words(self) -> str:
        """Every text of its blocks, unescaped."""
        found = [text for block in self.blocks for text in _texts(block)]
        return "\n".join(found).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

    def button(self, action_id: str) -> dict[str, Any] | None:
        for block in self.blocks:
            for element in block.get("elements", ()) if block["type"] == "actions" else ():
                if element["action_id"] == action_id:
                    found: dict[str, Any] = element
                    return found
        return None


@dataclass
class SlackStandIn:
    url: str = ""
    messages: dict[str, Message] = field(default_factory=dict)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    """Ephemeral messages: channel, user, text."""
    views: list[dict[str, Any]] = field(default_factory=list)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """What the real one would not have taken either."""
    calls: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    """The next answers: method, and `500`, `429` or an error code; `lost`: it is done, and the answer does not come."""
    scopes: set[str] = field(default_factory=lambda: {"chat:write", "users:read.email", "channels:history"})
    socket: web.WebSocketResponse | None = None
    acknowledged: dict[str, Any] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, done: Callable[[], Any]) -> Any:
        """What `done` gives once it gives something."""
        async with asyncio.timeout(20), self._changed:
            return await self._changed.wait_for(done)

    def posted(self, *, threads: bool = False) -> list[Message]:
        return [one for one in self.messages.values() if threads or one.thread_ts is None]

    def person(self, user: str, email: str, **more: Any) -> None:
        self.users[user] = {
            "id": user, "team_id": TEAM, "is_email_confirmed": True, "profile": {"email": email}, **more
        }  # fmt: skip

    def press(self, message: Message, action_id: str, user: str, *, team: str = TEAM) -> dict[str, Any]:
        """The payload of a press of one of the message's buttons."""
        button = message.button(action_id)
        assert button is not None
        action = {"type": "button", "action_id": action_id, "block_id": "b", "action_ts": "1.0"}
        return {
            "type": "block_actions",
            "team": {"id": TEAM},
            "user": {"id": user, "team_id": team},
            "channel": {"id": message.channel},
            "message": {"ts": message.ts},
            "trigger_id": f"{next(self._numbers)}.trigger",
            "actions": [action | {"value": button.get("value")}],
        }

    def submit(self, view: Mapping[str, Any], reason: str | None, user: str) -> dict[str, Any]:
        """The payload of the form that was opened, filled in."""
        (given,) = [block for block in view["blocks"] if block["type"] == "input"]
        values = {given["block_id"]: {given["element"]["action_id"]: {"type": "plain_text_input", "value": reason}}}
        kept = {name: view[name] for name in ("callback_id", "private_metadata")}
        return {
            "type": "view_submission",
            "team": {"id": TEAM},
            "user": {"id": user, "team_id": TEAM},
            "view": {"id": "V1", "type": "modal", **kept, "state": {"values": values}},
        }

    async def push(self, payload: Mapping[str, Any]) -> Any:
        """Over Socket Mode; what it is answered."""
        await self.until(lambda: self.socket)
        envelope = f"e{next(self._numbers)}"
        assert self.socket is not None
        await self.socket.send_json(
            {"type": "interactive", "envelope_id": envelope, "payload": payload, "accepts_response_payload": True}
        )
        await self.until(lambda: envelope in self.acknowledged)
        return self.acknowledged[envelope]

    # The API.

    async def take(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        token = APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN
        if request.headers.get("Authorization") != f"Bearer {token}":
            return self._no("invalid_auth")
        if method == "apps.connections.open":
            return web.json_response({"ok": True, "url": self.url.replace("http", "ws") + "/socket"})
        if method in JSON_METHODS:
            if not request.content_type.startswith("application/json"):
                return self._no("invalid_json_type")
            given = await request.json()
        elif method in FORM_METHODS:
            given = dict(await request.post())
        else:
            return self._no("unknown_method")
        async with self._changed:
            self.calls.append(method)
            self._changed.notify_all()
        failure = self._failing(method)
        if failure in ("500", "429"):
            headers = {"Retry-After": "1"} if failure == "429" else {}
            return web.Response(status=int(failure), headers=headers)
        if failure not in (None, "lost"):
            return self._no(str(failure), quiet=True)
        async with self._changed:
            answer = getattr(self, "_" + method.replace(".", "_"))(given)
            self._changed.notify_all()
        if failure == "lost" and request.transport is not None:
            request.transport.abort()
        return answer if isinstance(answer, web.Response) else web.json_response({"ok": True, **answer})

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async with self._changed:
            self.socket = socket
            self._changed.notify_all()
        async for message in socket:
            read = json.loads(message.data)
            async with self._changed:
                self.acknowledged[read["envelope_id"]] = read.get("payload")
                self._changed.notify_all()
        return socket

    def _failing(self, method: str) -> str | None:
        for failure in self.failures:
            if failure[0] == method:
                self.failures.remove(failure)
                return failure[1]
        return None

    def _no(self, error: str, *, quiet: bool = False) -> web.Response:
        if not quiet:
            self.refused.append(error)
        return web.json_response({"ok": False, "error": error})

    def _auth_test(self, given: Mapping[str, Any]) -> Any:
        return {"team_id": TEAM, "user_id": "U0BOT"}

    def _chat_postMessage(self, given: Mapping[str, Any]) -> Any:
        problem = check_message(given)
        if problem is not None:
            return self._no(problem)
        ts = f"1700000000.{next(self._numbers):06d}"
        self.messages[ts] = Message(
            given["channel"],
            ts,
            given["text"],
            given["blocks"],
            given.get("metadata"),
            given.get("thread_ts"),
            time.monotonic(),
        )
        return {"ts": ts, "channel": given["channel"]}

    def _chat_update(self, given: Mapping[str, Any]) -> Any:
        message = self.messages.get(given["ts"])
        problem = check_message(given)
        if message is None or problem is not None:
            return self._no(problem or "message_not_found", quiet=problem is None)
        message.text, message.blocks, message.edits = given["text"], given["blocks"], message.edits + 1
        return {"ts": message.ts}

    def _chat_postEphemeral(self, given: Mapping[str, Any]) -> Any:
        self.told.append((given["channel"], given["user"], given["text"]))
        return {"message_ts": "1.0"}

    def _views_open(self, given: Mapping[str, Any]) -> Any:
        view = given["view"]
        problem = check_view(view) or (None if str(given["trigger_id"]).endswith(".trigger") else "invalid_trigger_id")
        if problem is not None:
            return self._no(problem)
        self.views.append(view)
        return {"view": {"id": f"V{len(self.views)}"}}

    def _users_info(self, given: Mapping[str, Any]) -> Any:
        user = self.users.get(given["user"])
        return {"user": user} if user is not None else self._no("user_not_found", quiet=True)

    def _conversations_history(self, given: Mapping[str, Any]) -> Any:
        if "channels:history" not in self.scopes:
            return self._no("missing_scope", quiet=True)
        found = [
            {"ts": one.ts, "text": one.text, "metadata": one.metadata}
            for one in self.messages.values()
            if one.channel == given["channel"] and given.get("ts", one.thread_ts) == one.thread_ts
        ]
        return {"messages": found}

    _conversations_replies = _conversations_history


def check_message(given: Mapping[str, Any]) -> str | None:
    """The error that Slack gives for a message, or None."""
    if len(given["text"]) > 40_000 or not given["text"]:
        return "msg_too_long"
    return check_blocks(given["blocks"], 50)


def check_view(view: Mapping[str, Any]) -> str | None:
    if len(view["private_metadata"]) > 3000 or len(view["callback_id"]) > 255:
        return "invalid_arguments"
    if any(not _is_text(view[name], 24, plain=True) for name in ("title", "submit", "close")):
        return "invalid_arguments"
    return check_blocks(view["blocks"], 100)


def check_blocks(blocks: list[Any], limit: int) -> str | None:
    good = 0 < len(blocks) <= limit and all(map(_is_block, blocks))
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    return None if good and len(set(ids)) == len(ids) else "invalid_blocks"


def _is_block(block: Mapping[str, Any]) -> bool:
    match block.get("type"):
        case "header":
            return _is_text(block["text"], 150, plain=True)
        case "section":
            fields = block.get("fields", [])
            whole = "text" not in block or _is_text(block["text"], 3000)
            return whole and ("text" in block or bool(fields)) and len(fields) <= 10 and all(
                _is_text(one, 2000) for one in fields
            )  # fmt: skip
        case "context":
            return 0 < len(block["elements"]) <= 10 and all(_is_text(one, 3000) for one in block["elements"])
        case "actions":
            return 0 < len(block["elements"]) <= 25 and all(map(_is_button, block["elements"]))
        case "input":
            limits = {"label": 2000, "hint": 2000}
            element = block["element"]
            return all(_is_text(block[name], limit, plain=True) for name, limit in limits.items()) and (
                element["type"] == "plain_text_input" and 0 < element["max_length"] <= 3000
            )
    return False


def _is_button(button: Mapping[str, Any]) -> bool:
    return (
        button["type"] == "button"
        and button.keys() <= _BUTTON
        and _is_text(button["text"], 75, plain=True)
        and len(button.get("value", "")) <= 2000
        and len(button.get("url", "")) <= 3000
        and button.get("style", "primary") in ("primary", "danger")
    )


def _is_text(text: Mapping[str, Any], limit: int, *, plain: bool = False) -> bool:
    kinds = ("plain_text",) if plain else ("plain_text", "mrkdwn")
    return text["type"] in kinds and 0 < len(text["text"]) <= limit


def _texts(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["text"]] if node.get("type") in ("plain_text", "mrkdwn") else []
        return own + [text for value in node.values() for text in _texts(value)]
    return [text for one in node for text in _texts(one)] if isinstance(node, list) else []


def signed_request(payload: Mapping[str, Any], *, age: float = 0, secret: str = SIGNING_SECRET) -> tuple[bytes, Any]:
    """Body and headers of an interaction over HTTP, signed as Slack documents it."""
    body = urlencode({"payload": json.dumps(payload)}).encode()
    stamp = str(int(time.time() - age))
    signature = "v0=" + hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Slack-Request-Timestamp": stamp}
    return body, headers | {"X-Slack-Signature": signature}


@contextlib.asynccontextmanager
async def slack_stand_in() -> AsyncIterator[SlackStandIn]:
    here = SlackStandIn()
    app = web.Application()
    app.router.add_post("/api/{method}", here.take)
    app.router.add_get("/socket", here.connect)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    here.url = f"http://127.0.0.1:{port}"
    try:
        yield here
    finally:
        if here.socket is not None:
            await here.socket.close()
        await runner.cleanup()
