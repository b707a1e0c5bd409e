"""What Slack shows of a question, and of an outcome that nobody knew, in Block Kit. Pure.

Whatever an agent or a person wrote stands in `plain_text`, where Slack reads neither markup nor mentions, with hidden
characters named and `&`, `<`, `>` escaped; `mrkdwn` holds our own words alone. Limits are those of
https://docs.slack.dev/reference/block-kit: 50 blocks, 150 characters a header, 10 fields a section of 2,000 each.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from callgate.json_patch import Change, Missing
from contracts.events import OutcomeUnknown
from contracts.lifecycle import Call
from contracts.model import JsonValue
from contracts.subjects import CallRef
from services.approval.domain import Question
from services.approval.history import Past
from services.approval.outcomes import Unsettled
from services.approval.rendering import plain, rows
from services.approval.views import View
from services.approval.words import call_url, facts, outcome_facts, policy, settle_url, standing

APPROVE, REJECT, OPEN, SETTLE = "callgate_approve", "callgate_reject", "callgate_open", "callgate_settle"
VOTE_MODAL = "callgate_vote"
REASON_BLOCK, REASON_INPUT = "reason", "reason"
REASON_LIMIT = 2000

Block = dict[str, Any]

_HEADER = 140
_LABEL, _FIELD = 80, 300
"""Characters of a name and of one value: 2,000 hold both, even if each of them has to be escaped."""
_FIELDS = 10
"""Of a section."""
_SECTIONS = 3
"""Of arguments: a message is there to be read; the page shows everything."""
_VOTES = 20
CHANGES_SHOWN = _FIELDS
SESSION_SHOWN = 5
"""Earlier calls of the session."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a message is made of."""

    call: Call
    """As far as it speaks of this question."""
    question: Question
    view: View
    policies: Sequence[tuple[str, str | None]]
    """Those that ask, with their `@reason`."""
    before: Sequence[Past]
    """Earlier calls of the session, the latest first."""
    changes: Sequence[Change]
    """What a reviewer changed of the arguments before this question, masked as all that is shown."""
    public_url: str


def message(shown: Shown) -> tuple[str, list[Block]]:
    """The notification's text and the blocks."""
    question = shown.question
    title, line = standing(shown.call, question)
    function, _ = plain(question.function, 80)
    requester, _ = plain(question.requester.id, 80)
    blocks: list[Block] = [
        {"type": "header", "text": text(f"{title}: {function}", _HEADER)},
        {"type": "section", "fields": [_field(name, *plain(value, _FIELD)) for name, value in facts(question)]},
        *_arguments(shown.view),
        *_changes(shown.changes),
    ]
    policies = [f"• {policy(name, reason)}" for name, reason in shown.policies]
    if policies:
        blocks.append({"type": "section", "text": text("Held back by\n" + "\n".join(policies), 2900, lines=True)})
    if shown.before:
        past = [_past(one) for one in shown.before[:SESSION_SHOWN]]
        blocks.append(
            {"type": "section", "text": text("Before, in this session\n" + "\n".join(past), 2900, lines=True)}
        )
    votes = [f"{_word(ballot.decision)} by {plain(ballot.reviewer, 80)[0]}" for ballot in question.ballots[:_VOTES]]
    blocks.append({"type": "context", "elements": [text(" · ".join([line, *votes]), 2900)]})
    if question.waiting:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _expiry(question.expires_at)}]})
    blocks.append({"type": "actions", "block_id": "callgate_decide", "elements": _buttons(shown)})
    return escaped(f"{title}: {function}, asked by {requester}"), blocks


def outcome_message(call: Call, outcome: Unsettled, public_url: str) -> tuple[str, list[Block]]:
    """The same of an outcome that nobody knew: no arguments, and the way to where it is settled."""
    title, line = standing(call)
    said = f"{title}: {plain(outcome.function, 80)[0]}"
    url = settle_url(public_url, outcome)
    waits = call.state == OutcomeUnknown.NAME
    blocks: list[Block] = [
        {"type": "section", "text": text(said, 300)},
        {"type": "section", "fields": [_field(name, *plain(value, _FIELD)) for name, value in outcome_facts(outcome)]},
        {"type": "context", "elements": [text(line, 300)]},
        {
            "type": "actions",
            "elements": [link_button(SETTLE, "Settle", url) if waits else link_button(OPEN, "Open", url)],
        },
    ]
    return escaped(said), blocks


def text(words: str, limit: int, *, lines: bool = False) -> Block:
    """A `plain_text` object: everything in it stands for itself. Only with `lines`, line ends in it are line ends."""
    parts = words.split("\n") if lines else [words]
    visible = "\n".join(plain(part, limit)[0] for part in parts)
    return {"type": "plain_text", "text": escaped(visible, limit), "emoji": False}


def link_button(action_id: str, words: str, url: str) -> Block:
    """Leads to a page; Slack tells us of the press, which is answered and no more."""
    return {"type": "button", "action_id": action_id, "text": text(words, 24), "url": url}


def vote_modal(question: Question, decision: str, metadata: str) -> Block:
    """Asks for the reason. `metadata` comes back with the answer."""
    word = "Approve" if decision == "approve" else "Reject"
    function, _ = plain(question.function, 80)
    requester, _ = plain(question.requester.id, 80)
    return {
        "type": "modal",
        "callback_id": VOTE_MODAL,
        "private_metadata": metadata,
        "title": text(f"{word} a call", 24),
        "submit": text(word, 24),
        "close": text("Back", 24),
        "blocks": [
            {"type": "section", "text": text(f"{function}, asked by {requester}", 300)},
            {
                "type": "input",
                "block_id": REASON_BLOCK,
                "label": text("Reason", 100),
                "hint": text("Kept sealed with your vote; auditors and the agent's owner may see it.", 150),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON_INPUT,
                    "multiline": True,
                    "min_length": 1,
                    "max_length": REASON_LIMIT,
                },
            },
        ],
    }


def told_modal(words: str) -> Block:
    """Says how a vote went where it did not go through."""
    return {
        "type": "modal",
        "title": text("Not decided", 24),
        "close": text("Close", 24),
        "blocks": [{"type": "section", "text": text(words, 600)}],
    }


def ballot_value(ref: CallRef, digest: str) -> str:
    """What a button carries: the call, and the digest of the question that the message shows."""
    return json.dumps({"call": str(ref), "digest": digest})


def read_ballot(value: object) -> tuple[str, str] | None:
    """Call and digest of `ballot_value`; None for anything else."""
    try:
        read = json.loads(value) if isinstance(value, str) and len(value) <= 2000 else None
    except (ValueError, RecursionError):
        return None
    call, digest = (read.get("call"), read.get("digest")) if isinstance(read, dict) else (None, None)
    return (call, digest) if isinstance(call, str) and isinstance(digest, str) else None


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escaped(words: str, limit: int = 3000) -> str:
    """As Slack wants its three special characters, cut between characters: half an entity would be shown as it is."""
    parts: list[str] = []
    left = limit
    for character in words:
        part = _ENTITIES.get(character, character)
        left -= len(part)
        if left < 0:
            break
        parts.append(part)
    return "".join(parts)


def _field(name: str, value: str, more: int = 0) -> Block:
    label, _ = plain(name, _LABEL)
    cut = f"… ({more:,} more characters; open to see all)" if more else ""
    return {"type": "plain_text", "text": escaped(f"{label}\n{value}{cut}"), "emoji": False}


def _arguments(view: View) -> list[Block]:
    if view.withheld:
        return [{"type": "section", "text": text(f"The arguments are withheld: {view.withheld}.", 300)}]
    found, more = rows(view.arguments, view.findings)
    room = _SECTIONS * _FIELDS
    fields = [_field("/".join(row.path) or "(everything)", *_value(row.text, row.cut)) for row in found[:room]]
    blocks: list[Block] = [
        {"type": "section", "fields": fields[start : start + _FIELDS]} for start in range(0, len(fields), _FIELDS)
    ]
    left = more + len(found) - len(fields)
    if left:
        words = f"{left} more argument{'s' if left > 1 else ''}; open to see all."
        blocks.append({"type": "context", "elements": [text(words, 100)]})
    return blocks


def _changes(changes: Sequence[Change]) -> list[Block]:
    if not changes:
        return []
    words = "Changed by a reviewer:" if len(changes) <= CHANGES_SHOWN else "Changed by a reviewer; open to see all:"
    fields = [_field(one.path or "(everything)", _difference(one)) for one in changes[:CHANGES_SHOWN]]
    return [{"type": "context", "elements": [text(words, 100)]}, {"type": "section", "fields": fields}]


def _difference(change: Change) -> str:
    return f"{_side(change.before)} → {_side(change.after)}"


def _side(value: JsonValue | Missing) -> str:
    return "(nothing)" if isinstance(value, Missing) else plain(json.dumps(value, ensure_ascii=False), _LABEL)[0]


def _value(value: str, cut: int) -> tuple[str, int]:
    visible, left = plain(value, _FIELD)
    return visible or "(empty)", left + cut


def _past(past: Past) -> str:
    return f"• {plain(past.function, 80)[0]}: {past.state.replace('_', ' ')}"


def _expiry(at: datetime) -> str:
    fallback = f"{at:%Y-%m-%d %H:%M} UTC"
    return f"Expires <!date^{int(at.timestamp())}^{{date_short_pretty}} at {{time_secs}}|{fallback}>"


def _buttons(shown: Shown) -> list[Block]:
    question = shown.question
    opening = link_button(OPEN, "Open", call_url(shown.public_url, question))
    if shown.call.state == OutcomeUnknown.NAME:
        return [link_button(SETTLE, "Settle", settle_url(shown.public_url, question)), opening]
    if not question.waiting:
        return [opening]
    value = ballot_value(question.ref, question.digest)
    approve = {"type": "button", "action_id": APPROVE, "text": text("Approve", 24), "style": "primary", "value": value}
    reject = {"type": "button", "action_id": REJECT, "text": text("Reject", 24), "style": "danger", "value": value}
    return [approve, reject, opening]


def _word(decision: str) -> str:
    return "Approved" if decision == "approve" else "Rejected"


def metadata(key: str) -> JsonValue:
    """Names the notice in the message, so that it is found again where a crash left open whether it was sent."""
    return {"event_type": "callgate_notice", "event_payload": {"key": key}}
