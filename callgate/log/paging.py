"""The calls of a session, some at a time, over all of its partitions."""

from collections.abc import Callable, Sequence

from callgate.log.protocol import Chain, Log
from contracts.events import Recorded
from contracts.lifecycle import Call
from contracts.subjects import Partition


async def calls_begun(
    log: Log,
    homes: Sequence[Partition],
    session_id: str,
    after: Recorded | None,
    limit: int,
    wanted: Callable[[Call], bool] = lambda _: True,
) -> list[Chain]:
    """Up to `limit` of the session's calls that are wanted, in the order in which they began: the first ones, or those
    `after` the call with that first event. Where a call began never changes, whatever becomes of it between two pages.

    `homes` are the session's partitions (`contracts.subjects.homes`). ValueError for an `after` that is in none of
    them; BrokerAway.
    """
    start = 0
    if after is not None:
        homes, start = homes[homes.index(after.ref.partition) :], after.sequence
    found: list[Chain] = []
    for home in homes:
        while lacking := limit - len(found):
            chains = await log.read_begun(home, session_id, start, lacking)
            found += (chain for chain in chains if wanted(chain.call))
            if len(chains) < lacking:
                break
            start = chains[-1].call.chain[0].sequence
        start = 0
    return found
