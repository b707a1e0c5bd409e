"""Calls that wait for people, on the screen. Nothing in arguments, an agent's words, may steer the terminal."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.output import count, printable, styled

_SHOWN = 2000
"""Characters of masked arguments; --json gives all of them."""
_LESS = frozenset({"pending", "waiting_for_approval"})
"""Of a call in these, its last event says more."""


def standing(state: str, status: str | None) -> str:
    """How a call stands, in the word that its agent is told where that says as much as the event."""
    return state if status is None or status in _LESS else status


def approval_lines(item: Mapping[str, Any], now: datetime) -> list[str]:
    """A call that waits for approval."""
    lines = _head(item, _left(datetime.fromisoformat(item["expires_at"]) - now))
    for need in item["requirements"]:
        each = bool(need.get("each"))
        groups, policies = (" and " if each else " or ").join(need["approvers"]), ", ".join(need["policies"])
        of = f"{need['quorum']} from {'each of ' if each else ''}{groups}"
        lines.append(printable(f"  needs {need['missing']} more of {of} ({policies})"))
        if need.get("escalation"):
            late = need["escalation"]
            lines.append(printable(f"  from {moment(late['at'])} also from {' or '.join(late['approvers'])}"))
    if item.get("amended_by"):
        amenders = ", ".join(item["amended_by"])
        lines.append(printable(f"  arguments changed by {amenders}, whose approval alone is not enough"))
    if item.get("reason_required"):
        lines.append("  to approve, say why: --reason")
    if item.get("may_break_glass"):
        lines.append("  in an emergency you may approve alone: --break-glass --reason …")
    vote = f"  you voted: {printable(item['your_vote'])}" if item.get("your_vote") else ""
    return [*lines, f"{_digest(item)}{vote}"]


def outcome_lines(item: Mapping[str, Any]) -> list[str]:
    """A call whose outcome nobody knows."""
    since = f"unknown since {moment(item['since'])}"
    tried = f"  {item['code']}, tried {count(item['attempts'], 'time')}"
    return [*_head(item, since), printable(tried), _digest(item)]


def moment(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _head(item: Mapping[str, Any], when: str) -> list[str]:
    behalf = f" for {printable(item['on_behalf_of'])}" if item.get("on_behalf_of") else ""
    first = f"  {printable(item['function'])}  asked by {printable(item['requester'])}{behalf}  {when}"
    return [styled(printable(item["id"]), "cyan"), first, _arguments(item)]


def _arguments(item: Mapping[str, Any]) -> str:
    if item.get("withheld"):
        return f"  arguments withheld: {printable(item['withheld'])}"
    text = printable(json.dumps(item["arguments"], ensure_ascii=False))
    return f"  {text[:_SHOWN]}" + (f"… ({len(text)} characters; --json shows all)" if len(text) > _SHOWN else "")


def _digest(item: Mapping[str, Any]) -> str:
    return f"  digest {printable(item['digest'])[:16]}"


def _left(left: timedelta) -> str:
    seconds = int(left.total_seconds())
    if seconds <= 0:
        return "expired"
    return f"expires in {seconds // 60} min" if seconds >= 120 else f"expires in {seconds} s"
