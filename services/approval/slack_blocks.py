"""What Slack shows of a question, in Block Kit. Pure.

Whatever an agent or a person wrote stands in `plain_text`, where Slack reads neither markup nor mentions, with hidden
characters named and `&`, `<`, `>` escaped; `mrkdwn` holds our own words alone. Limits are those of
https://docs.slack.dev/reference/block-kit: 50 blocks, 150 characters a header, 10 fields a section of 2,000 each.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.events import (
    ApprovalExpired,
    Approved,
    ArgumentsAmended,
    Cancelled,
    Denied,
    ExecutionFailed,
    OutcomeSettled,
    OutcomeUnknown,
    Rejected,
    ResultMasked,
)
from contracts.lifecycle import Call
from contracts.model import JsonValue
from contracts.subjects import CallRef
from services.approval.domain import Question
from services.approval.history import Past
from services.approval.rendering import plain, rows
from services.approval.views import View

APPROVE, REJECT, OPEN = "callgate_approve", "callgate_reject", "callgate_open"
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
_POLICY = 600
_VOTES = 20
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
    url: str
    """The call's page."""


def message(shown: Shown) -> tuple[str, list[Block]]:
    """The notification's text and the blocks."""
    question = shown.question
    title, standing = _standing(shown.call, question)
    function, _ = plain(question.function, 80)
    requester, _ = plain(question.requester.id, 80)
    blocks: list[Block] = [
        {"type": "header", "text": text(f"{title}: {function}", _HEADER)},
        {"type": "section", "fields": [_field(*pair) for pair in _facts(question)]},
        *_arguments(shown.view),
    ]
    policies = [_policy(name, reason) for name, reason in shown.policies]
    if policies:
        blocks.append({"type": "section", "text": text("Held back by\n" + "\n".join(policies), 2900, lines=True)})
    if shown.before:
        past = [_past(one) for one in shown.before[:SESSION_SHOWN]]
        blocks.append(
            {"type": "section", "text": text("Before, in this session\n" + "\n".join(past), 2900, lines=True)}
        )
    votes = [f"{_word(ballot.decision)} by {plain(ballot.reviewer, 80)[0]}" for ballot in question.ballots[:_VOTES]]
    blocks.append({"type": "context", "elements": [text(" · ".join([standing, *votes]), 2900)]})
    if question.waiting:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _expiry(question.expires_at)}]})
    blocks.append({"type": "actions", "block_id": "callgate_decide", "elements": _buttons(shown)})
    return escaped(f"{title}: {function}, asked by {requester}"), blocks


def text(words: str, limit: int, *, lines: bool = False) -> Block:
    """A `plain_text` object: everything in it stands for itself. Only with `lines`, line ends in it are line ends."""
    parts = words.split("\n") if lines else [words]
    visible = "\n".join(plain(part, limit)[0] for part in parts)
    return {"type": "plain_text", "text": escaped(visible, limit), "emoji": False}


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


def _facts(question: Question) -> Iterable[tuple[str, str, int]]:
    yield "Function", *plain(question.function, _FIELD)
    yield "Asked by", *plain(question.requester.id, _FIELD)
    if question.requester.on_behalf_of is not None:
        yield "On behalf of", *plain(question.requester.on_behalf_of, _FIELD)
    needs = "; ".join(_needs(progress.requirement.approvers, progress) for progress in question.progress[:_FIELDS])
    yield "Needs", *plain(needs, _FIELD)


def _needs(approvers: Sequence[str], progress: Any) -> str:
    requirement = progress.requirement
    each = getattr(requirement, "each", False)
    who = f"{requirement.quorum} of {'each of ' if each else ''}{', '.join(approvers)}"
    return f"{who} ({progress.missing} missing)"


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


def _value(value: str, cut: int) -> tuple[str, int]:
    visible, left = plain(value, _FIELD)
    return visible or "(empty)", left + cut


def _policy(name: str, reason: str | None) -> str:
    words, _ = plain(f"{name}: {reason}" if reason else name, _POLICY)
    return f"• {words}"


def _past(past: Past) -> str:
    return f"• {plain(past.function, 80)[0]}: {past.state.replace('_', ' ')}"


def _expiry(at: datetime) -> str:
    fallback = f"{at:%Y-%m-%d %H:%M} UTC"
    return f"Expires <!date^{int(at.timestamp())}^{{date_short_pretty}} at {{time_secs}}|{fallback}>"


def _buttons(shown: Shown) -> list[Block]:
    opening = {"type": "button", "action_id": OPEN, "text": text("Open", 24), "url": shown.url}
    if not shown.question.waiting:
        return [opening]
    value = ballot_value(shown.question.ref, shown.question.digest)
    approve = {"type": "button", "action_id": APPROVE, "text": text("Approve", 24), "style": "primary", "value": value}
    reject = {"type": "button", "action_id": REJECT, "text": text("Reject", 24), "style": "danger", "value": value}
    return [approve, reject, opening]


def _word(decision: str) -> str:
    return "Approved" if decision == "approve" else "Rejected"


_RUNNING: Mapping[str, tuple[str, str]] = {
    "approved": ("Approved", "Policy judges once more"),
    "allowed": ("Approved", "About to run"),
    "execution_started": ("Approved", "Running"),
    "execution_completed": ("Approved", "The function answered"),
}


def _standing(call: Call, question: Question) -> tuple[str, str]:
    """The title, and how it stands in one line."""
    data = call.head.data if call.head is not None else None
    if question.waiting:
        missing = sum(progress.missing for progress in question.progress)
        return "Approval needed", f"Waiting: {missing} approval{'' if missing == 1 else 's'} missing"
    match data:
        case Rejected():
            return "Rejected", f"Rejected by {plain(data.by, 80)[0]}"
        case ApprovalExpired():
            return "Expired", "Nobody decided in time"
        case ArgumentsAmended():
            return "Changed", f"Changed by {plain(data.author.id, 80)[0]}; policy judges it anew"
        case Cancelled():
            return "Cancelled", f"Cancelled by {plain(data.by, 80)[0]} ({data.code})"
        case Denied():
            return "Denied", f"Denied by policy after all ({data.code})"
        case ExecutionFailed():
            return "Failed", f"It had no effect ({data.code})"
        case OutcomeUnknown():
            return "Outcome unknown", f"It may have happened ({data.code}); somebody must find out"
        case OutcomeSettled():
            return "Settled", f"{data.outcome.replace('_', ' ').capitalize()}, says {plain(data.by.id, 80)[0]}"
        case ResultMasked():
            return "Done", f"The function answered {data.status}"
        case Approved():
            return _RUNNING["approved"]
    return _RUNNING.get(call.state, ("Decided", call.state.replace("_", " ").capitalize()))


def metadata(key: str) -> JsonValue:
    """Names the notice in the message, so that it is found again where a crash left open whether it was sent."""
    return {"event_type": "callgate_notice", "event_payload": {"key": key}}
