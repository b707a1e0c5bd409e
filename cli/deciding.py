"""What reviewers' commands do, over the public HTTP API alone: the list of what waits, and the vote."""

import asyncio
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from callgate.errors import CallgateError, ConfigurationError
from cli import output
from cli.api import Api, Away, Refused
from cli.output import printable, styled
from contracts.lifecycle import WAITING_FOR_PEOPLE

_LONGEST_PAUSE = 30.0
_PAST = {"approve": "approved", "reject": "rejected"}
_SHOWN = 2000
"""Characters of masked arguments on the screen; --json gives all of them."""


def read_token(token: str | None, token_file: Path | None) -> str:
    """The bearer token of whoever runs the command. ConfigurationError where there is none."""
    if token_file is not None:
        try:
            token = token_file.read_text()
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError("no_token", f"{token_file} cannot be read; name your token's file") from None
    if not token or not token.strip():
        raise ConfigurationError("no_token", "who are you? Give --token, --token-file, or set CALLGATE_TOKEN")
    return token.strip()


async def list_approvals(url: str, token: str, as_json: bool) -> int:
    async with Api(url, token) as api:
        try:
            items = await _all(api)
        except Refused as refused:
            output.error(refused.detail)
            return 1
    _show(items, as_json)
    return 0


async def _all(api: Api) -> list[dict[str, Any]]:
    """Every page of what waits."""
    items: list[dict[str, Any]] = []
    after = ""
    while True:
        page = await api.get("/v1/approvals", {"after": after} if after else None)
        if not isinstance(page, dict) or not isinstance(page.get("approvals"), list):
            raise Away("not_callgate", "that is no list of approvals; check --url")
        items += page["approvals"]
        after = page.get("next") or ""
        if not after:
            return items


async def watch_approvals(url: str, token: str, every: float, as_json: bool) -> int:
    """Shows the list whenever it changed. While Callgate is away it asks ever more rarely, and says so once."""
    shown: list[dict[str, Any]] | None = None
    complaint, pause = "", every
    async with Api(url, token) as api:
        while True:
            try:
                items = await _all(api)
            except (Refused, Away) as error:
                if isinstance(error, Refused) and error.status != 503:
                    output.error(error.detail)
                    return 1
                if error.detail != complaint:
                    output.error(error.detail)
                complaint, shown = error.detail, None
                pause = min(pause * 2, _LONGEST_PAUSE)
                await asyncio.sleep(max(pause, getattr(error, "retry_after", None) or 0.0))
                continue
            complaint, pause = "", every
            if items != shown:
                _clear()
                _show(items, as_json)
                sys.stdout.flush()
                shown = items
            await asyncio.sleep(every)


def _clear() -> None:
    if sys.stdout.isatty():
        output.say("\x1b[H\x1b[2J\x1b[3J")
        output.say(f"{datetime.now(UTC):%H:%M:%S} UTC, Ctrl-C ends\n")


def _show(items: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        output.say(json.dumps({"approvals": items}))
        return
    if not items:
        output.say("nothing waits for you")
        return
    for item in items:
        output.say("\n".join(_lines(item, datetime.now(UTC))))
        output.say()
    output.say(f"{len(items)} waiting. `callgate approve <id>`, or `callgate reject <id> --reason …`")


def _lines(item: Mapping[str, Any], now: datetime) -> list[str]:
    """One call for the screen. Arguments are the agent's words: nothing in them may steer the terminal."""
    behalf = f" for {printable(item['on_behalf_of'])}" if item.get("on_behalf_of") else ""
    expires = _left(datetime.fromisoformat(item["expires_at"]) - now)
    lines = [
        styled(printable(item["id"]), "cyan"),
        f"  {printable(item['function'])}  asked by {printable(item['requester'])}{behalf}  {expires}",
    ]
    if item.get("withheld"):
        lines.append(f"  arguments withheld: {printable(item['withheld'])}")
    else:
        text = printable(json.dumps(item["arguments"], ensure_ascii=False))
        cut = f"… ({len(text)} characters; --json shows all)" if len(text) > _SHOWN else ""
        lines.append(f"  {text[:_SHOWN]}{cut}")
    for need in item["requirements"]:
        each = bool(need.get("each"))
        groups, policies = (" and " if each else " or ").join(need["approvers"]), ", ".join(need["policies"])
        of = f"{need['quorum']} from {'each of ' if each else ''}{groups}"
        lines.append(printable(f"  needs {need['missing']} more of {of} ({policies})"))
        if need.get("escalation"):
            late = need["escalation"]
            lines.append(printable(f"  from {_time(late['at'])} also from {' or '.join(late['approvers'])}"))
    if item.get("reason_required"):
        lines.append("  to approve, say why: --reason")
    if item.get("may_break_glass"):
        lines.append("  in an emergency you may approve alone: --break-glass --reason …")
    vote = f"  you voted: {printable(item['your_vote'])}" if item.get("your_vote") else ""
    return [*lines, f"  digest {printable(item['digest'])[:16]}{vote}"]


def _left(left: Any) -> str:
    seconds = int(left.total_seconds())
    if seconds <= 0:
        return "expired"
    return f"expires in {seconds // 60} min" if seconds >= 120 else f"expires in {seconds} s"


async def vote(
    url: str,
    token: str,
    call_id: str,
    decision: str,
    reason: str | None,
    digest: str | None,
    *,
    break_glass: bool = False,
) -> int:
    """Shows the call, and votes on the digest of just what was shown."""
    path = f"/v1/approvals/{quote(call_id, safe='')}"
    if digest is not None and len(digest) < 8:
        raise ConfigurationError("short_digest", "give at least 8 characters of the digest")
    async with Api(url, token) as api:
        try:
            item = await api.get(path)
            output.say("\n".join(_lines(item, datetime.now(UTC))))
            refusal = _over(item) or _changed(item, digest, decision)
            if refusal:
                output.error(refusal)
                return 1
            ballot = {"decision": decision, "reason": reason, "digest": item["digest"]}
            if break_glass:
                ballot["break_glass"] = True
            outcome = await api.post(f"{path}/votes", ballot)
        except Refused as refused:
            output.error(await _meanwhile(api, path, refused))
            return 1
        except Away as away:
            raise CallgateError(
                away.code, f"{away.detail}; whether a vote was cast, `callgate approvals` tells"
            ) from None
    output.say(_after_vote(decision, outcome))
    return 0


def _over(item: Mapping[str, Any]) -> str | None:
    """Who decided on a call that waits for nobody any more, and when."""
    if item["state"] in WAITING_FOR_PEOPLE:
        return None
    votes = [vote for vote in item.get("votes", ()) if isinstance(vote, dict)]
    who = ", ".join(f"{vote['reviewer']} {_PAST[vote['decision']]} it at {_time(vote['at'])}" for vote in votes)
    if not votes and datetime.fromisoformat(item["expires_at"]) <= datetime.now(UTC):
        who = f"its time was up at {_time(item['expires_at'])}"
    return printable(f"there is nothing to decide any more{f': {who}' if who else ''}; the call is {item['state']} now")


def _changed(item: Mapping[str, Any], digest: str | None, decision: str) -> str | None:
    """What to do where the digest is not the one that was seen."""
    if digest is None or item["digest"].startswith(digest):
        return None
    again = f"callgate {decision} {item['id']} --digest {item['digest'][:16]}"
    return printable(
        f"the call has changed since you looked: its digest is {item['digest'][:16]}. It stands above as it is now "
        f"(`callgate approvals` lists it too); to decide on that: `{again}`"
    )


async def _meanwhile(api: Api, path: str, refused: Refused) -> str:
    """A refusal, in words; for a call that somebody else decided in that moment, who did."""
    if refused.code != "not_waiting":
        return refused.detail
    try:
        return _over(await api.get(path)) or refused.detail
    except Refused:
        return refused.detail


def _time(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _after_vote(decision: str, outcome: Mapping[str, Any]) -> str:
    word = _PAST[decision]
    missing = sum(need["missing"] for need in outcome["requirements"])
    more = f"; {missing} more must approve" if decision == "approve" and missing else ""
    colour = "green" if decision == "approve" else "yellow"
    return f"{styled(word, colour, bold=True)}: the call is {printable(outcome['state'])}{more}"
