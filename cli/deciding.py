"""What reviewers' commands do to one call, over the public HTTP API alone: vote, amend, settle."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from callgate.errors import CallgateError, ConfigurationError
from callgate.json_patch import Change, changes
from cli import output
from cli.api import Api, Away, Refused
from cli.arguments import schemas_in
from cli.call_lines import approval_lines, moment, outcome_lines, standing
from cli.output import printable, styled
from cli.patching import Wish, patched
from contracts.events import OutcomeUnknown
from contracts.lifecycle import WAITING_FOR_PEOPLE
from contracts.model import JsonValue

_PAST = {"approve": "approved", "reject": "rejected"}
_SHORTEST_DIGEST = 8
_CHANGES_SHOWN = 64
_SETTLED = {
    "done": "masking prepares the result for the agent",
    "not_done": "the agent is told that it failed",
    "run_again": "the executor runs it again",
}


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


async def vote(
    url: str,
    token: str,
    call_id: str,
    decision: str,
    reason: str | None,
    digest: str | None,
    *,
    break_glass: bool = False,
    as_json: bool = False,
) -> int:
    """Shows the call, and votes on the digest of just what was shown."""
    path = _approval(call_id)
    _require_long(digest)
    async with Api(url, token) as api:
        try:
            item = await api.get(path)
            if over := _over(item):
                output.error(over)
                return 1
            _show(approval_lines(item, datetime.now(UTC)), as_json)
            if changed := _changed(item, digest, f"callgate {decision}", "callgate approvals"):
                output.error(changed)
                return 1
            ballot = {"decision": decision, "reason": reason, "digest": item["digest"]}
            if break_glass:
                ballot["break_glass"] = True
            outcome = await api.post(f"{path}/votes", ballot)
        except Refused as refused:
            output.error(await _meanwhile(api, path, refused))
            return 1
        except Away as away:
            raise _perhaps(away, "a vote was cast", "callgate approvals") from None
    output.say(json.dumps(outcome) if as_json else _after_vote(decision, outcome))
    return 0


async def amend(
    url: str, token: str, call_id: str, wish: Wish, reason: str | None, digest: str | None, *, as_json: bool
) -> int:
    """Shows the call and what is changed, and changes just what was shown."""
    path = _approval(call_id)
    _require_long(digest)
    async with Api(url, token) as api:
        try:
            item = await api.get(path)
            if over := _over(item):
                output.error(over)
                return 1
            _show(approval_lines(item, datetime.now(UTC)), as_json)
            if changed := _changed(item, digest, "callgate amend", "callgate approvals"):
                output.error(changed)
                return 1
            schemas = await _schemas(api, item["function"]) if wish.sets else {}
            patch, after = patched(item["arguments"], wish, schemas)
            _show(_change_lines(item["arguments"], after), as_json)
            outcome = await api.post(f"{path}/amendments", {"digest": item["digest"], "patch": patch, "reason": reason})
        except Refused as refused:
            output.error(await _meanwhile(api, path, refused))
            return 1
        except Away as away:
            raise _perhaps(away, "the call was amended", "callgate approvals") from None
    told = "amended: policy judges it anew, and votes start over; `callgate approvals` shows it once it waits again"
    output.say(json.dumps(outcome) if as_json else told)
    return 0


async def settle(
    url: str, token: str, call_id: str, said: Mapping[str, JsonValue], digest: str | None, *, as_json: bool
) -> int:
    """Shows the call, and says what became of just that."""
    path = f"/v1/outcomes/{quote(call_id, safe='')}"
    _require_long(digest)
    async with Api(url, token) as api:
        try:
            item = await api.get(path)
            if known := _known(item):
                output.error(known)
                return 1
            _show(outcome_lines(item), as_json)
            if changed := _changed(item, digest, "callgate settle", "callgate outcomes"):
                output.error(changed)
                return 1
            outcome = await api.post(f"{path}/settlement", {**said, "digest": item["digest"]})
        except Refused as refused:
            output.error(refused.detail)
            return 1
        except Away as away:
            raise _perhaps(away, "it was settled", "callgate outcomes") from None
    settled = f"{styled('settled', 'green', bold=True)}: {_SETTLED[str(said['outcome'])]}"
    output.say(json.dumps(outcome) if as_json else settled)
    return 0


async def _schemas(api: Api, function: str) -> Mapping[str, Any]:
    """Those of the function's arguments; none where reviewers and agents have different doors."""
    try:
        return schemas_in((await api.get("/v1/functions"))["functions"], function)
    except (Refused, Away, KeyError, TypeError):
        return {}


def _approval(call_id: str) -> str:
    return f"/v1/approvals/{quote(call_id, safe='')}"


def _require_long(digest: str | None) -> None:
    if digest is not None and len(digest) < _SHORTEST_DIGEST:
        raise ConfigurationError("short_digest", f"give at least {_SHORTEST_DIGEST} characters of the digest")


def _show(lines: list[str], as_json: bool) -> None:
    """What people read before it happens; programs get the answer alone."""
    if not as_json:
        output.say("\n".join(lines))


def _perhaps(away: Away, what: str, command: str) -> CallgateError:
    return CallgateError(away.code, f"{away.detail}; whether {what}, `{command}` tells")


def _over(item: Mapping[str, Any]) -> str | None:
    """Who decided on a call that waits for nobody any more, and when."""
    if item["state"] in WAITING_FOR_PEOPLE:
        return None
    votes = [vote for vote in item.get("votes", ()) if isinstance(vote, dict)]
    who = ", ".join(f"{vote['reviewer']} {_PAST[vote['decision']]} it at {moment(vote['at'])}" for vote in votes)
    if not votes and datetime.fromisoformat(item["expires_at"]) <= datetime.now(UTC):
        who = f"its time was up at {moment(item['expires_at'])}"
    now = standing(item["state"], item.get("status"))
    return printable(f"there is nothing to decide any more{f': {who}' if who else ''}; the call is {now} now")


def _known(item: Mapping[str, Any]) -> str | None:
    """How a call stands of which somebody knows what became."""
    if item["state"] == OutcomeUnknown.NAME:
        return None
    return f"what became of it is known: the call is {printable(standing(item['state'], item['status']))} now"


def _changed(item: Mapping[str, Any], digest: str | None, command: str, listing: str) -> str | None:
    """What to do where the digest is not the one that was seen."""
    if digest is None or item["digest"].startswith(digest):
        return None
    again = f"{command} {item['id']} --digest {item['digest'][:16]}"
    return printable(
        f"the call has changed since you looked: its digest is {item['digest'][:16]}. It stands above as it is now "
        f"(`{listing}` lists it too); to decide on that: `{again}`"
    )


async def _meanwhile(api: Api, path: str, refused: Refused) -> str:
    """A refusal, in words; for a call that somebody else decided in that moment, who did."""
    if refused.code != "not_waiting":
        return refused.detail
    try:
        return _over(await api.get(path)) or refused.detail
    except Refused:
        return refused.detail


def _change_lines(before: JsonValue, after: JsonValue) -> list[str]:
    lines = [
        printable(f"  {one.path}: {_side(one, 'before')} → {_side(one, 'after')}")
        for one in changes(before, after, _CHANGES_SHOWN + 1)
    ]
    return lines if len(lines) <= _CHANGES_SHOWN else [*lines[:-1], "  …"]


def _side(change: Change, side: str) -> str:
    shown = change.as_json()
    return json.dumps(shown[side], ensure_ascii=False) if side in shown else "nothing"


def _after_vote(decision: str, outcome: Mapping[str, Any]) -> str:
    word = styled(_PAST[decision], "green" if decision == "approve" else "yellow", bold=True)
    state, missing = outcome["state"], sum(need["missing"] for need in outcome["requirements"])
    if decision == "approve" and state in WAITING_FOR_PEOPLE and missing:
        return f"{word}: {missing} more must approve"
    if decision == "approve" and state in {"approved", *WAITING_FOR_PEOPLE}:
        return f"{word}: the call is approved; Callgate runs it now"
    if decision == "reject" and state in {"rejected", *WAITING_FOR_PEOPLE}:
        return f"{word}: the call is not run, and its agent is told why"
    return f"{word}: the call is {printable(standing(state, outcome.get('status')))}"
