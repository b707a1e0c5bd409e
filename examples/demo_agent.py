"""An agent, a reviewer and an auditor on Callgate's public HTTP API and nothing else: a model for your own.

    CALLGATE_TOKEN=… python -m examples.demo_agent http://127.0.0.1:8080 crm.read_customer '{"id": "c42"}'

An agent needs one request a call: `POST /v1/calls` answers once the call is over. Where that takes longer than the
request may (somebody has to approve it first, say), the answer is 202 with a `Location` to ask again.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one HTTP request brought."""

    status: int
    document: Document
    seconds: float
    location: str | None = None


class ProblemAnswer(Exception):
    """Callgate answered with a problem document (RFC 9457): `code` for programs, `detail` says what to do."""

    def __init__(self, status: int, document: Document) -> None:
        self.status = status
        self.code = str(document.get("code", "unknown"))
        super().__init__(f"{status} {self.code}: {document.get('detail', '')}")


class Caller:
    """Somebody with a token. The session is shared; its owner closes it."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self.received: list[str] = []
        """Every body that came, as text: the demo looks for what must not be in there."""
        self._http = http
        self._url = url.rstrip("/")
        self._authorization = {"Authorization": f"Bearer {token}"}

    async def request(
        self, method: str, path: str, body: Document | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request. Raises ProblemAnswer for 4xx and 5xx."""
        sent, began = {**self._authorization, **(headers or {})}, time.perf_counter()
        async with self._http.request(method, self._url + path, json=body, headers=sent) as response:
            text = await response.text()
            self.received.append(text)
            document = json.loads(text)
            if response.status >= 400:
                raise ProblemAnswer(response.status, document)
            seconds = time.perf_counter() - began
            return Answer(response.status, document, seconds, response.headers.get("Location"))


class Agent(Caller):
    """Calls functions. All its calls are in one session, which the first one opens."""

    session: str | None = None

    async def call(self, function: str, arguments: Document, wait: int = 50) -> Document:
        """The outcome of a call: `status` is completed, denied, rejected, expired, failed, unknown or cancelled.

        Waits for it however long it takes, `wait` seconds a request.
        """
        answer = await self.ask(function, arguments, wait)
        while answer.status == 202 and answer.location is not None:
            answer = await self.request("GET", answer.location, headers={"Prefer": f"wait={wait}"})
        return answer.document

    async def functions(self) -> list[str]:
        """The names of the functions that this agent may call."""
        answer = await self.request("GET", "/v1/functions")
        return [str(function["name"]) for function in answer.document["functions"]]

    async def ask(self, function: str, arguments: Document, wait: int = 50) -> Answer:
        """One request, and no more: 200 with the outcome, or 202 while there is none after `wait` seconds."""
        body: Document = {"function": function, "arguments": arguments}
        if self.session is not None:
            body["session"] = self.session
        answer = await self.request("POST", "/v1/calls", body, {"Prefer": f"wait={wait}"})
        self.session = answer.document["session"]
        return answer


class Reviewer(Caller):
    """Decides on the calls that wait for a person, and on the tools of MCP servers that nobody accepted yet."""

    async def waiting(self) -> list[Document]:
        """What waits for this reviewer, soonest expiry first, arguments masked."""
        answer = await self.request("GET", "/v1/approvals")
        return list(answer.document["approvals"])

    async def next_of(self, function: str, besides: Collection[str] = (), pause: float = 0.05) -> Document:
        """The next call of a function that waits for this reviewer, looking now and then until there is one.

        `besides` are the ids of calls that are known already.
        """
        while True:
            for item in await self.waiting():
                if item["function"] == function and item["id"] not in besides:
                    return item
            await asyncio.sleep(pause)

    async def vote(self, item: Document, decision: str, reason: str | None = None) -> Document:
        """Decides on a call just as it was seen: the digest makes it void where the call has changed since."""
        ballot = {"decision": decision, "reason": reason, "digest": item["digest"]}
        return (await self.request("POST", f"/v1/approvals/{item['id']}/votes", ballot)).document

    async def held_tools(self) -> dict[str, Document]:
        """By function, the tools that are held until this reviewer, or another, accepts them."""
        answer = await self.request("GET", "/v1/functions/changes")
        return {change["function"]: change for change in answer.document["changes"]}

    async def accept(self, change: Document) -> Document:
        """Accepts a tool just as it was seen: the digest makes it void where it is described otherwise by now."""
        path, body = f"/v1/functions/changes/{change['function']}/accept", {"definition": change["definition"]}
        return (await self.request("POST", path, body)).document


class Auditor(Caller):
    """Looks at what happened."""

    async def replay(self, session: str) -> Document:
        """Every call of a session with every step, straight from the log, payloads masked."""
        path, calls = f"/v1/sessions/{session}/replay", list[Document]()
        page = (await self.request("GET", path)).document
        while page["next"] is not None:
            calls += page["calls"]
            page = (await self.request("GET", f"{path}?after={page['next']}")).document
        return page | {"calls": [*calls, *page["calls"]]}


async def development_token(http: aiohttp.ClientSession, issuer: str, person: str) -> str:
    """A token of the development issuer that `callgate up` starts. In production, your own issuer gives tokens."""
    async with http.post(f"{issuer}/token", data={"sub": person}) as response:
        response.raise_for_status()
        return str((await response.json())["access_token"])


async def _main(url: str, function: str, arguments: Document, token: str) -> int:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=5)) as http:
        try:
            outcome = await Agent(http, url, token).call(function, arguments)
        except (ProblemAnswer, aiohttp.ClientError) as error:
            print(error, file=sys.stderr)
            return 2
    print(json.dumps(outcome, indent=2))
    return 0 if outcome["status"] == "completed" else 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.demo_agent", description="Call one function.")
    parser.add_argument("url", help="Callgate's address; the token comes from the variable CALLGATE_TOKEN")
    parser.add_argument("function", help="e.g. crm.read_customer")
    parser.add_argument("arguments", type=json.loads, help="a JSON object")
    given = parser.parse_args()
    token = os.environ.get("CALLGATE_TOKEN", "")
    if not token:
        parser.error("set CALLGATE_TOKEN")
    sys.exit(asyncio.run(_main(given.url, given.function, given.arguments, token)))


if __name__ == "__main__":
    main()
