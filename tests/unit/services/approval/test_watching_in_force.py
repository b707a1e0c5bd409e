"""Open pages are told of freezes and grants in force when something of them is another than before."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from approval_calls import SEALED, START, person

from callgate.errors import BrokerAway
from contracts.freezes import Freeze
from services.approval import in_force
from services.approval.in_force import InForce

FREEZE = Freeze("f1", "everything", None, None, person("fay", "sre"), START, None, SEALED)


@dataclass(frozen=True)
class Grant:
    """What is looked at of one."""

    data: Any
    left: int


@dataclass(frozen=True)
class Data:
    grant_id: str = "g1"


@dataclass
class Book:
    """Both books. `steps` happen one after the other, a look each; after the last somebody has seen enough."""

    steps: list[Callable[["Book"], None]]
    over: asyncio.Event = field(default_factory=asyncio.Event)
    freezes: tuple[Freeze, ...] = ()
    grants: tuple[Grant, ...] = ()

    async def refresh(self) -> None:
        if self.steps:
            self.steps.pop(0)(self)
        else:
            self.over.set()

    def in_force(self) -> tuple[Freeze, ...]:
        return self.freezes

    def standing(self) -> tuple[Grant, ...]:
        return self.grants


class Idle:
    """The other book, which is read with the first."""

    def __init__(self, book: Book) -> None:
        self.standing = book.standing

    async def refresh(self) -> None:
        """Nothing new."""


async def told_of(monkeypatch: pytest.MonkeyPatch, *steps: Callable[[Book], None]) -> int:
    """How often pages are told while these happen."""
    monkeypatch.setattr(in_force, "LOOK_EVERY", 0)
    told: list[None] = []
    book = Book(list(steps))
    watching = InForce(cast("Any", book), cast("Any", Idle(book)), lambda: told.append(None))
    task = asyncio.create_task(watching.follow())
    async with asyncio.timeout(20):
        await book.over.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return len(told)


def froze(book: Book) -> None:
    book.freezes = (FREEZE,)


def ran_out(book: Book) -> None:
    book.freezes = ()


def granted(book: Book) -> None:
    book.grants = (Grant(Data(), 2),)


def used(book: Book) -> None:
    book.grants = (replace(book.grants[0], left=1),)


def nothing(_: Book) -> None:
    """Nobody did anything."""


def away(_: Book) -> None:
    raise BrokerAway


@pytest.mark.parametrize(
    ("steps", "times"),
    [
        ((nothing, nothing), 0),
        ((froze, nothing, ran_out), 2),
        ((granted, used, nothing), 2),
        ((froze, away, nothing), 1),
    ],
)
async def test_each_change_is_told_once(
    monkeypatch: pytest.MonkeyPatch, steps: tuple[Callable[[Book], None], ...], times: int
) -> None:
    assert await told_of(monkeypatch, *steps) == times
