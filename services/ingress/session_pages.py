"""The calls of a session, page by page, at the cost of a page however long the session is."""

from dataclasses import dataclass

from callgate.log import Log
from callgate.log.paging import calls_begun
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.subjects import Partition, homes
from services.ingress.domain import BadRequest, is_own, own_ref, session_of


@dataclass(frozen=True, slots=True)
class Page:
    """Some calls of a session, in the order in which they began, and whether more came after."""

    calls: tuple[Call, ...]
    more: bool


async def page_of(
    log: Log, known: frozenset[Partition], principal: Principal, session: str, after: str, limit: int
) -> Page:
    """The first calls of one's own session, by its id or name, or those `after` the call of that id.
    BadRequest for another's session, or a call that is none of it; BrokerAway."""
    session_id = session_of(principal, session) or session
    last = (await _shown_last(log, known, principal, session_id, after)).chain[0] if after else None
    chains = await calls_begun(
        log, homes(session_id, known), session_id, last, limit + 1, lambda call: is_own(call, principal)
    )
    return Page(tuple(chain.call for chain in chains[:limit]), more=len(chains) > limit)


async def _shown_last(
    log: Log, known: frozenset[Partition], principal: Principal, session_id: str, call_id: str
) -> Call:
    ref = own_ref(call_id, principal, known)
    if ref is not None and ref.session_id == session_id:
        call = (await log.read(ref)).call
        if is_own(call, principal):
            return call
    raise BadRequest(422, "bad_after", "`after` is `next` of the page before, of the same session.")
