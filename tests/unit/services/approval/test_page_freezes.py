"""What pages tell of freezes: what they stopped, for whom, and what there is to freeze."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from approval_calls import SEALED, START, Story, asked, person

from contracts.events import Cancelled
from contracts.freezes import Freeze
from contracts.identity import Principal
from services.approval.domain import Question, question_of
from services.approval.freeze_targets import has_been_seen
from services.approval.freezing import Freezing
from services.approval.history import History, Stopped
from services.approval.pages.freezes import cancelled_how, offered_to, stopped_for

LATER = START + timedelta(minutes=1)
FREEZE = Freeze("f1", "agent", "bot", None, person("rosalind", "sre"), START, None, SEALED)


class Book:
    """The freezes that are known, and what of them somebody may do."""

    def __init__(self, *freezes: Freeze, may: str = "agent") -> None:
        self._freezes = freezes
        self._may = may

    def known(self) -> tuple[Freeze, ...]:
        return self._freezes

    def get(self, freeze_id: str) -> Freeze | None:
        return next((one for one in self._freezes if one.freeze_id == freeze_id), None)

    def may(self, _right: str, _who: Principal, scope: str, _target: str | None) -> bool:
        return scope == self._may


def freezing(*freezes: Freeze, waiting: tuple[Question, ...] = ()) -> Freezing:
    book = cast("Any", Book(*freezes))
    other = cast("Any", None)
    made = Freezing(other, other, other, book, cast("Any", waiting), other, other, lambda: LATER)
    made.may = book.may  # type: ignore[method-assign]
    return made


class Past:
    """Nothing but calls that freezes cancelled."""

    def __init__(self, *stopped: Stopped) -> None:
        self._stopped = stopped

    def stopped(self) -> tuple[Stopped, ...]:
        return self._stopped

    def decided(self) -> tuple[()]:
        return ()


def history(*stopped: Stopped) -> History:
    return cast("History", Past(*stopped))


def cancelled(code: str, by: str, freeze: str | None = None) -> Story:
    story = asked()
    story.add(Cancelled(by=by, code=code, freeze=freeze), LATER)
    return story


def question(story: Story) -> Question:
    found = question_of(story.call)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("code", "by", "freezes", "told"),
    [
        ("frozen", "rosalind", (FREEZE,), "Stopped by a freeze of the agent bot, by rosalind."),
        ("frozen", "rosalind", (), "Stopped by a freeze, by rosalind."),
        ("frozen", "rosalind", (replace(FREEZE, target="bto"),), "Stopped by a freeze, by rosalind."),
        ("withdrawn", "bot", (FREEZE,), "Withdrawn by bot."),
    ],
)
def test_a_cancelled_call_says_who_ended_it(code: str, by: str, freezes: tuple[Freeze, ...], told: str) -> None:
    story = cancelled(code, by)
    assert cancelled_how(freezing(*freezes), question(story), story.call) == told


def test_the_freeze_that_the_event_names_is_told_of_and_no_likelier_one() -> None:
    later = replace(FREEZE, freeze_id="f2", scope="everything", target=None)
    story = cancelled("frozen", "rosalind", "f1")
    assert cancelled_how(freezing(FREEZE, later), question(story), story.call) == (
        "Stopped by a freeze of the agent bot, by rosalind."
    )
    assert cancelled_how(freezing(later), question(story), story.call) == "Stopped by a freeze, by rosalind."


def test_whoever_was_asked_is_told_of_a_freeze_in_force_and_nobody_else() -> None:
    ended = Cancelled(by="rosalind", code="frozen")
    stopped = [Stopped(question(cancelled("frozen", "rosalind")), ended, LATER) for _ in range(2)]
    asked_person, other, requester = person("fina", "finance"), person("sam", "sales"), person("rosa", "finance")
    assert stopped_for(history(*stopped), freezing(FREEZE), asked_person, LATER) == [(FREEZE, 2)]
    for who in (other, requester):
        assert stopped_for(history(*stopped), freezing(FREEZE), who, LATER) == []
    assert stopped_for(history(*stopped), freezing(replace(FREEZE, lifted=True)), asked_person, LATER) == []


def test_what_is_suggested_was_seen_and_may_be_frozen() -> None:
    waits = question(asked())
    frozen = freezing(waiting=(waits,))
    assert offered_to(frozen, history(), person("rosalind")) == [("agent", "bot"), ("agent", "rosa")]
    assert has_been_seen(history(), frozen, "agent", "bot")
    assert not has_been_seen(history(), frozen, "agent", "bto")
    assert has_been_seen(history(), frozen, "session", waits.ref.session_id)
    assert not has_been_seen(history(), frozen, "session", "s_other")
    assert has_been_seen(history(), frozen, "everything", None)
