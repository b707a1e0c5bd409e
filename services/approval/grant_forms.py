"""What a grant asks for, as people write it. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from callgate.ids import owns_session
from contracts.functions import Catalog, Function
from contracts.identity import Principal
from contracts.model import JsonValue
from contracts.records import Conditions
from services.approval.scopes import BadScope, duration, is_name, reason_of, session_of

LONGEST = timedelta(hours=24)
USES_LIMIT = 1000
_SCOPE = {"agent", "issuer", "on_behalf_of", "session", "function"}
_TERMS = {"conditions", "uses", "for", "reason"}
_EXPECTED = (
    'Send {"call": id, "bind": "agent" or "session"} or {"agent": …, "function": …}, '
    'with "conditions", "uses", "for" and "reason".'
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a grant allows of the calls in its scope."""

    conditions: Conditions
    uses: int
    lasts: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class GrantScope:
    """Whose calls of which function; `requester` as far as it is known."""

    requester: Principal
    function: Function
    session_id: str | None


@dataclass(frozen=True, slots=True)
class GrantWanted:
    """A well-formed wish: calls like `call` (bound to its session where `to_session`), or those of `scope`."""

    terms: Terms
    call: str | None
    to_session: bool
    scope: GrantScope | None


def grant_wanted(document: JsonValue, catalog: Catalog, issuer: str) -> GrantWanted:
    """The wish of a JSON body; `issuer` is the granter's, for a body that names none. BadScope."""
    if not isinstance(document, dict):
        raise BadScope("invalid_request", _EXPECTED)
    of_call = "call" in document
    if not document.keys() <= (_TERMS | ({"call", "bind"} if of_call else _SCOPE)):
        raise BadScope("invalid_request", _EXPECTED)
    terms = _terms(document)
    if not of_call:
        return GrantWanted(terms, None, False, _scope(document, catalog, issuer))
    call, bind = document["call"], document.get("bind", "agent")
    if not isinstance(call, str) or bind not in ("agent", "session"):
        raise BadScope("invalid_request", _EXPECTED)
    return GrantWanted(terms, call, bind == "session", None)


def _terms(document: dict[str, JsonValue]) -> Terms:
    uses, conditions = document.get("uses"), document.get("conditions", {})
    if not isinstance(uses, int) or isinstance(uses, bool) or not 0 < uses <= USES_LIMIT:
        raise BadScope("bad_uses", f"`uses` is a number of calls, 1 to {USES_LIMIT}.")
    if not isinstance(conditions, dict) or not all(isinstance(tests, dict) for tests in conditions.values()):
        raise BadScope("bad_conditions", 'Conditions are e.g. {"amount": {"lte": 40}, "currency": {"eq": "USD"}}.')
    return Terms(conditions, uses, duration(document.get("for"), LONGEST), reason_of(document.get("reason")))


def _scope(document: dict[str, JsonValue], catalog: Catalog, issuer: str) -> GrantScope:
    agent, user, function = document.get("agent"), document.get("on_behalf_of"), document.get("function")
    issuer = document.get("issuer") or issuer
    if not is_name(agent) or not is_name(issuer) or not (user is None or is_name(user)):
        raise BadScope("bad_agent", "Name the agent by its identity, and the user for whom it acts, if any.")
    known = catalog.get(function) if isinstance(function, str) else None
    if known is None:
        raise BadScope("unknown_function", "There is no such function; GET /v1/functions lists them.")
    requester = Principal(id=agent, issuer=issuer, on_behalf_of=user)
    session_id = session_of(document["session"]) if document.get("session") is not None else None
    if session_id is not None and not owns_session(requester.session_owner, session_id):
        raise BadScope("foreign_session", "The session is not of that agent, acting for that user.")
    return GrantScope(requester, known, session_id)
