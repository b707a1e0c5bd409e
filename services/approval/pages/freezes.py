"""What the pages tell of freezes: what one stopped, and what there is to freeze. Pure but for what is passed in."""

from collections import Counter
from datetime import datetime

from contracts.events import Cancelled
from contracts.freezes import FROZEN, Freeze
from contracts.identity import Principal
from contracts.lifecycle import Call
from services.approval.domain import Question, is_asked, right_of
from services.approval.freeze_targets import seen_targets
from services.approval.freezing import Freezing
from services.approval.history import History

OFFERED = 50
"""Suggestions of each kind."""


def cancelled_how(freezing: Freezing, question: Question, call: Call) -> str | None:
    """Who cancelled a call, and by what, in a sentence; None where it is not cancelled."""
    recorded, data = call.last_recorded(Cancelled), call.last(Cancelled)
    if recorded is None or data is None:
        return None
    if data.code != FROZEN:
        return f"Withdrawn by {data.by}."
    freeze = freezing.stopped_by(question, data, recorded.event.at)
    return f"Stopped by a freeze of {named(freeze)}, by {data.by}." if freeze else f"Stopped by a freeze, by {data.by}."


def stopped_for(history: History, freezing: Freezing, person: Principal, now: datetime) -> list[tuple[Freeze, int]]:
    """The freezes in force, and how many calls each cancelled that this person was asked about."""
    counted: Counter[str] = Counter()
    freezes: dict[str, Freeze] = {}
    for one in history.stopped():
        question = one.question
        if right_of(question, person, permitted=True) is not None or not is_asked(question, person, now):
            continue
        freeze = freezing.stopped_by(question, one.cancelled, one.at)
        if freeze is not None and freeze.in_force(now):
            freezes[freeze.freeze_id] = freeze
            counted[freeze.freeze_id] += 1
    return [(freeze, counted[freeze_id]) for freeze_id, freeze in freezes.items()]


def named(freeze: Freeze) -> str:
    return f"the {freeze.scope} {freeze.target}" if freeze.target is not None else freeze.scope


def offered_to(freezing: Freezing, history: History, person: Principal) -> list[tuple[str, str]]:
    """What a form suggests to somebody: no more than they may freeze."""
    asked: Counter[str] = Counter()
    found: list[tuple[str, str]] = []
    for scope, target in dict.fromkeys(seen_targets(history, freezing)):
        asked[scope] += 1
        if asked[scope] <= OFFERED and freezing.may("freeze", person, scope, target):
            found.append((scope, target))
    return found
