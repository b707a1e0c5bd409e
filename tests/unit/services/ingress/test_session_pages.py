"""A session page by page: in the order of its epochs, whole, and nobody else's."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from ingress_calls import AGENT, GENESIS, REVIEWER, SECRET, recorded

from callgate.ids import mint_session, name_session, uuid7
from callgate.log import Chain
from contracts.events import Requested
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition
from services.ingress.domain import BadRequest
from services.ingress.session_pages import Page, page_of

SESSION = name_session(AGENT.session_owner, "nightly")
LAYOUT = {1: 1, 2: 4, 3: 2}
"""How many shards each epoch has."""
KNOWN = frozenset(Partition(epoch, shard) for epoch, shards in LAYOUT.items() for shard in range(shards))


@dataclass
class PagedLog:
    """The first events of calls, by partition; `asked` is how many chains each reading was to find."""

    calls: list[Call] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def begin(self, epoch: int, by: Principal = AGENT, session: str = SESSION) -> str:
        ref = CallRef(Partition.of_session(session, epoch, LAYOUT[epoch]), session, uuid7())
        first = Requested(function="crm.get", principal=by, arguments=SECRET)
        sequence = 10 + 10 * sum(call.ref.partition == ref.partition for call in self.calls)
        self.calls.append(Call(ref, GENESIS, (recorded(ref, GENESIS, sequence, first),)))
        return str(ref)

    async def read(self, ref: CallRef) -> Chain:
        found = next((call for call in self.calls if call.ref == ref), Call(ref, GENESIS))
        return Chain(found, (), 0)

    async def read_begun(self, partition: Partition, session_id: str, after: int, limit: int) -> list[Chain]:
        self.asked.append(limit)
        there = [call for call in self.calls if (call.ref.partition, call.ref.session_id) == (partition, session_id)]
        return [Chain(call, (), 0) for call in there if call.chain[0].sequence > after][:limit]

    async def page(self, after: str = "", limit: int = 2, session: str = "nightly") -> Page:
        log: Any = self
        return await page_of(log, KNOWN, AGENT, session, after, limit)


def ids(page: Page) -> list[str]:
    return [str(call.ref) for call in page.calls]


async def walked(log: PagedLog, limit: int) -> list[str]:
    found: list[str] = []
    more, after = True, ""
    while more:
        page = await log.page(after, limit)
        assert 0 < len(page.calls) <= limit
        found += ids(page)
        more, after = page.more, found[-1]
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7])
async def test_pages_together_are_the_whole_session_over_all_epochs(limit: int) -> None:
    log = PagedLog()
    begun = [log.begin(epoch) for epoch in (1, 1, 1, 3, 3, 3)]  # nothing began in the second
    assert await walked(log, limit) == begun


async def test_a_page_asks_for_its_own_calls_and_one_more() -> None:
    log = PagedLog()
    begun = [log.begin(1) for _ in range(100)]
    page = await log.page(begun[40], 5)
    assert (ids(page), page.more, log.asked) == (begun[41:46], True, [6])


async def test_what_begins_between_two_pages_comes_at_the_end() -> None:
    log = PagedLog()
    begun = [log.begin(2) for _ in range(3)]
    first = await log.page()
    begun.append(log.begin(2))
    begun.append(log.begin(3))
    assert ids(first) + ids(await log.page(ids(first)[-1], 9)) == begun


async def test_a_call_that_ingress_recorded_for_another_is_passed_over_and_hides_none() -> None:
    log = PagedLog()
    first = log.begin(1)
    for _ in range(5):
        log.begin(1, by=REVIEWER)
    last = log.begin(1)
    page = await log.page()
    assert (ids(page), page.more) == ([first, last], False)


async def test_a_session_without_calls_is_an_empty_page() -> None:
    page = await PagedLog().page()
    assert (page.calls, page.more) == ((), False)


async def test_only_a_call_of_the_session_tells_where_to_go_on() -> None:
    log = PagedLog()
    mine = log.begin(1)
    other = log.begin(1, session=name_session(AGENT.session_owner, "other"))
    forged = log.begin(1, by=REVIEWER)
    never = str(CallRef.parse(mine)._replace(call_id=uuid7()))
    elsewhere = str(CallRef.parse(mine)._replace(partition=Partition(2, 3)))
    for after in (other, forged, never, elsewhere, mine.replace("1-0.", "7-0."), "x", f"{mine}0"):
        with pytest.raises(BadRequest) as refused:
            await log.page(after)
        assert (refused.value.status, refused.value.code) == (422, "bad_after")
    with pytest.raises(BadRequest) as foreign:
        await log.page(session=mint_session(REVIEWER.session_owner))
    assert foreign.value.code == "foreign_session"
