"""What reviewers changed of a call's arguments, as people see them: before and after."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from callgate.json_patch import Change, Missing, changes
from callgate.jsontext import pointer_steps
from callgate.sealing import Place
from contracts.events import ApprovalRequired, ArgumentsAmended
from contracts.lifecycle import Call
from contracts.model import JsonValue
from services.approval.domain import CallFacts, question_of
from services.approval.rendering import Row, row
from services.approval.views import Views

CHANGES = 50
"""Of one amendment, on a page."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One changed place; None where there is nothing on that side."""

    path: tuple[str, ...]
    before: Row | None
    after: Row | None


@dataclass(frozen=True, slots=True)
class Amended:
    """One amendment. `differences` None: masking has not applied it yet, or the arguments cannot be shown."""

    by: str
    at: datetime
    reason: str | None
    differences: Sequence[Difference] | None
    more: bool


async def amendments_of(views: Views, call: Call) -> list[Amended]:
    """The amendments of a call in their order. BrokerAway."""
    places = [index for index, one in enumerate(call.chain) if isinstance(one.data, ArgumentsAmended)]
    ends = [*places[1:], len(call.chain)]
    return list(await asyncio.gather(*(_amended(views, call, *pair) for pair in zip(places, ends, strict=True))))


def first_asked(call: Call) -> datetime | None:
    """When people were asked for the first time, about arguments that may have been others."""
    return next((one.event.at for one in call.chain if isinstance(one.data, ApprovalRequired)), None)


def question_before_own_change(call: Call, person: str) -> str | None:
    """The digest of the question that this person last changed the arguments of, where the present question came of
    just that change: it is no surprise to them."""
    steps = [one for one in call.chain if isinstance(one.data, ApprovalRequired | ArgumentsAmended)]
    if len(steps) < 3:
        return None
    before, change, asked = steps[-3:]
    own = isinstance(change.data, ArgumentsAmended) and change.data.author.id == person
    questions = isinstance(before.data, ApprovalRequired) and isinstance(asked.data, ApprovalRequired)
    return before.digest if own and questions else None


async def _amended(views: Views, call: Call, place: int, end: int) -> Amended:
    recorded = call.chain[place]
    data = recorded.data
    assert isinstance(data, ArgumentsAmended)  # noqa: S101  # by its caller
    reason = await views.text(Place(call.ref, recorded.event.event_id, "reason"), data.reason)
    found = await _differences(views, _facts(call, place), _facts(call, end))
    shown = [_difference(one) for one in found[:CHANGES]] if found is not None else None
    return Amended(data.author.id, recorded.event.at, reason, shown, found is not None and len(found) > CHANGES)


def _facts(call: Call, end: int) -> CallFacts | None:
    return question_of(Call(call.ref, call.genesis, call.chain[:end]))


async def _differences(views: Views, before: CallFacts | None, after: CallFacts | None) -> tuple[Change, ...] | None:
    if before is None or after is None or before.masked == after.masked:
        return None
    former, latter = await asyncio.gather(views.of(before), views.of(after))
    if former.withheld or latter.withheld:
        return None
    return changes(former.arguments, latter.arguments, CHANGES + 1)


def _difference(change: Change) -> Difference:
    path = pointer_steps(change.path)
    return Difference(path, _side(path, change.before), _side(path, change.after))


def _side(path: tuple[str, ...], value: JsonValue | Missing) -> Row | None:
    return None if isinstance(value, Missing) else row(path, value)
