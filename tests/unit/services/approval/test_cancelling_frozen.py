"""What a freeze cancels of all that waits, and what is spared once it is lifted."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

import pytest
from approval_calls import SEALED, START, asked, person

from contracts.events import Cancelled
from contracts.freezes import Freeze
from contracts.subjects import CallRef
from services.approval.aggregate import Approval
from services.approval.domain import Question, question_of
from services.approval.freezing import Freezing

WAITING = 100
EVERYTHING = Freeze("f1", "everything", None, None, person("fay", "finance"), START, None, SEALED)


@dataclass
class Book:
    """One freeze, which somebody lifts; that is known after the next look at CONTROL."""

    freeze: Freeze = EVERYTHING
    lifted: bool = False

    async def refresh(self) -> None:
        self.freeze = replace(self.freeze, lifted=self.lifted)

    def get(self, freeze_id: str) -> Freeze | None:
        return self.freeze if freeze_id == self.freeze.freeze_id else None

    def in_force(self) -> tuple[Freeze, ...]:
        return (self.freeze,) if self.freeze.in_force(START) else ()


@dataclass
class Calls:
    """Calls that wait. `lift_after`: so many cancelled, somebody lifts the freeze."""

    book: Book
    lift_after: int
    by_ref: dict[CallRef, Approval] = field(default_factory=dict)
    cancelled: list[CallRef] = field(default_factory=list)

    def __post_init__(self) -> None:
        for _ in range(WAITING):
            approval = Approval.of(asked().call)
            assert approval is not None
            self.by_ref[approval.ref] = approval

    def __iter__(self) -> Iterator[Question]:
        questions = (question_of(one.call) for ref, one in self.by_ref.items() if ref not in self.cancelled)
        return (question for question in questions if question is not None)

    def turn(self, _: CallRef) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()

    async def get(self, ref: CallRef) -> Approval:
        return self.by_ref[ref]

    async def continued(self, approval: Approval, decide: Callable[[Approval], Awaitable[None]]) -> Approval:
        await decide(approval)
        self.cancelled.append(approval.ref)
        self.book.lifted = self.book.lifted or len(self.cancelled) >= self.lift_after
        return approval


async def cancelled_of(calls: Calls) -> int:
    """How many are cancelled until nothing is left to cancel."""
    unused: Any = None

    def clock() -> datetime:
        return START

    freezing = Freezing(
        approvals=cast("Any", calls),
        records=unused,
        sealer=unused,
        book=cast("Any", calls.book),
        waiting=cast("Any", calls),
        policies=unused,
        catalog=unused,
        clock=clock,
    )
    await calls.book.refresh()
    await freezing._cancel_frozen()
    return len(calls.cancelled)


async def test_everything_that_waits_is_cancelled_by_name_of_the_freeze() -> None:
    calls = Calls(Book(), lift_after=WAITING + 1)
    assert await cancelled_of(calls) == WAITING
    assert {one.call.chain[-1].data for one in calls.by_ref.values()} == {
        Cancelled(by="fay", code="frozen", freeze="f1")
    }


@pytest.mark.parametrize("after", [1, 20])
async def test_lifting_a_freeze_spares_what_is_not_cancelled_yet(after: int) -> None:
    assert after <= await cancelled_of(Calls(Book(), lift_after=after)) < WAITING / 2
