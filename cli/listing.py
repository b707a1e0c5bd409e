"""The lists of what waits for people, and following one."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

from cli import output
from cli.api import Api, Away, Refused
from cli.call_lines import approval_lines, outcome_lines
from cli.output import printable

_LONGEST_PAUSE = 30.0
_WAIT = "25"
"""Seconds for which Callgate holds an answer that would say nothing new."""

Items = list[dict[str, Any]]


async def list_approvals(url: str, token: str, as_json: bool) -> int:
    async with Api(url, token) as api:
        try:
            items = await pages(api, "approvals")
        except Refused as refused:
            output.error(refused.detail)
            return 1
    _show_approvals(items, as_json)
    return 0


async def list_outcomes(url: str, token: str, as_json: bool) -> int:
    async with Api(url, token) as api:
        try:
            items = await pages(api, "outcomes")
        except Refused as refused:
            output.error(refused.detail)
            return 1
    if as_json:
        output.say(json.dumps({"outcomes": items}))
    elif not items:
        output.say("no outcome is unknown that you could settle")
    else:
        _paragraphs([outcome_lines(item) for item in items])
        output.say(f"{len(items)} unknown. `callgate settle <id> --outcome done|not-done|run-again --reason …`")
    return 0


async def watch_approvals(url: str, token: str, every: float, as_json: bool) -> int:
    """Shows the list whenever it changed, at most once in `every` seconds: on a terminal all of it, elsewhere what is
    new and what waits no more. While Callgate is away it asks ever more rarely, and says so once."""
    shown: Items | None = None
    tag: str | None = None
    complaint, pause = "", every
    async with Api(url, token) as api:
        while True:
            try:
                items, tag = await _changed(api, tag)
            except (Refused, Away) as error:
                if isinstance(error, Refused) and error.status != 503:
                    output.error(error.detail)
                    return 1
                if error.detail != complaint:
                    output.error(error.detail)
                complaint, shown, tag = error.detail, None, None
                pause = min(pause * 2, _LONGEST_PAUSE)
                await asyncio.sleep(max(pause, getattr(error, "retry_after", None) or 0.0))
                continue
            complaint, pause = "", every
            if items is not None and items != shown:
                _show_change(shown, items, as_json)
                shown = items
            elif shown is not None and sys.stdout.isatty() and not as_json:
                _redraw(shown)  # time goes on, and so do the expiries
            await asyncio.sleep(every)


async def pages(api: Api, kind: str, **parameters: str) -> Items:
    """Every page of `approvals` or `outcomes`."""
    return await _rest(api, kind, await api.get(f"/v1/{kind}", parameters), parameters)


async def _changed(api: Api, tag: str | None) -> tuple[Items | None, str | None]:
    """The list and its tag, once it is not the one of the tag given; None where it still is after some time."""
    first, found = await api.get_changed("/v1/approvals", {"wait": _WAIT}, tag)
    return (None, tag) if first is None else (await _rest(api, "approvals", first, {}), found)


async def _rest(api: Api, kind: str, page: Any, parameters: dict[str, str]) -> Items:
    items: Items = []
    while True:
        if not isinstance(page, dict) or not isinstance(page.get(kind), list):
            raise Away("not_callgate", f"that is no list of {kind}; check --url")
        items += page[kind]
        after = page.get("next") or ""
        if not after:
            return items
        page = await api.get(f"/v1/{kind}", {**parameters, "after": after})


def _show_change(before: Items | None, items: Items, as_json: bool) -> None:
    if as_json or before is None or sys.stdout.isatty():
        _redraw(items) if sys.stdout.isatty() and not as_json else _show_approvals(items, as_json)
        return
    known = {item["id"]: item for item in before}
    for item in items:
        if known.pop(item["id"], None) != item:
            _paragraphs([approval_lines(item, datetime.now(UTC))])
    for call_id in known:
        output.say(f"{printable(call_id)} waits for you no more\n")


def _redraw(items: Items) -> None:
    output.say("\x1b[H\x1b[2J\x1b[3J")
    output.say(f"{datetime.now(UTC):%H:%M:%S} UTC, Ctrl-C ends\n")
    _show_approvals(items, as_json=False)


def _show_approvals(items: Items, as_json: bool) -> None:
    if as_json:
        output.say(json.dumps({"approvals": items}))
    elif not items:
        output.say("nothing waits for you")
    else:
        _paragraphs([approval_lines(item, datetime.now(UTC)) for item in items])
        output.say(f"{len(items)} waiting. `callgate approve <id>`, or `callgate reject <id> --reason …`")


def _paragraphs(calls: list[list[str]]) -> None:
    for lines in calls:
        output.say("\n".join(lines))
        output.say()
