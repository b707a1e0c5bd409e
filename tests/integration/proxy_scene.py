"""A client of the transparent proxy, and what it and the upstream saw."""

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from doors import bearer
from governed_scene import Governed
from yarl import URL

from callgate.http import PROBLEM
from contracts.events import Recorded
from contracts.subjects import CallRef

AGENT = "support-bot"
JSON = {"Content-Type": "application/json"}
LOOK, SEARCH, TRANSFER = "GET /customers/{id}", "GET /search", "POST /accounts/a1/transfers"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """By name, in any case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def call(self) -> CallRef:
        return CallRef.parse(self.headers["Callgate-Call"])

    @property
    def code(self) -> str:
        """Of a problem document."""
        assert self.headers["Content-Type"] == PROBLEM, self.body
        assert self.json["status"] == self.status
        assert self.json["detail"]
        return str(self.json["code"])


async def ask(scene: Governed, method: str, target: str, who: str = AGENT, **more: Any) -> Answer:
    """A request as a client sends it that was given Callgate for its base URL; `target` goes out as it stands."""
    headers = {**bearer(scene.issuer, who), **more.pop("headers", {})}
    url = URL(f"{scene.url}/proxy/{target}", encoded=True)
    async with scene.http.request(method, url, headers=headers, allow_redirects=False, **more) as response:
        return Answer(response.status, response.headers, await response.read())


async def transfer(scene: Governed, amount: float, account: str = "a1", **more: Any) -> Answer:
    body = json.dumps({"amount": amount}).encode()
    headers = JSON | more.pop("headers", {})
    return await ask(scene, "POST", f"api/accounts/{account}/transfers", data=body, headers=headers, **more)


def seen(scene: Governed, route: str) -> tuple[str, str, bytes]:
    """Path, query and body as they reached the upstream."""
    last = scene.ledger.last[route]
    return last["path"], last["query"], base64.b64decode(last["body_base64"])


def values(scene: Governed, route: str) -> dict[str, str]:
    """Of the headers that may go on, as they reached the upstream."""
    told: dict[str, str] = scene.ledger.last[route]["values"]
    return told


def answers(scene: Governed, route: str, status: int = 200, text: str = "{}", **headers: str) -> None:
    """What the upstream says to the next request of a route."""
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    if text:
        named.append(("content-length", str(len(text.encode()))))
    scene.misbehave(route, "answer", status=status, text=text, headers=named)


async def asked_again(scene: Governed, ref: CallRef, before: str) -> str:
    async with asyncio.timeout(30):
        async for recorded in scene.audit.log.follow(ref.partition, event="approval_required"):
            if isinstance(recorded, Recorded) and recorded.ref == ref and recorded.digest != before:
                return recorded.digest
    raise AssertionError("following a log does not end")
