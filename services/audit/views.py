"""What a session or a call looked like, straight from the log, its masked payloads opened."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from callgate.errors import Rejected
from callgate.grant_proofs import GrantProof
from callgate.keyring import Ring
from callgate.log import Alien, Chain, Log
from callgate.records import Records
from callgate.sealing import Place, Sealer
from contracts.events import (
    Allowed,
    ArgumentsAmended,
    ArgumentsMasked,
    EventData,
    OutcomeSettled,
    Recorded,
    ResultMasked,
    VoteCast,
)
from contracts.lifecycle import Call
from contracts.model import JsonValue, rfc3339
from contracts.subjects import Partition, homes
from services.audit.rows import Row
from services.audit.slim import SEALED_FIELDS

# Which sealed fields are of class view, and what they are to a reader.
_SHOWN: dict[type[EventData], dict[str, str]] = {
    ArgumentsMasked: {"view": "arguments"},
    VoteCast: {"reason": "reason"},
    ArgumentsAmended: {"reason": "reason"},
    OutcomeSettled: {"reason": "reason", "evidence": "evidence"},
    ResultMasked: {"view": "response", "headers": "response_headers"},
}
_LONG = 2**63


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a chain, as it is shown. `opened` are masked payloads, exactly as masking wrote them."""

    recorded: Recorded
    opened: dict[str, bytes] = field(default_factory=dict)
    withheld: dict[str, str] = field(default_factory=dict)
    """Payloads that do not open, with the code that says why (`key_missing`: the session was erased)."""
    granted: Row | None = None
    """Who gave the grant by which the call was allowed, until when, and whether its records prove that."""

    def shown(self) -> dict[str, Any]:
        """For JSON: masked payloads that are JSON stand as such, others as text."""
        public = self.recorded.data.model_dump(mode="json", exclude=set(SEALED_FIELDS[type(self.recorded.data)]))
        return {
            "event": self.recorded.name,
            "at": rfc3339(self.recorded.event.at),
            "sequence": self.recorded.sequence,
            **plain(public),
            **{name: _embedded(payload) for name, payload in self.opened.items()},
            **({"withheld_payloads": self.withheld} if self.withheld else {}),
            **({"granted": self.granted} if self.granted else {}),
        }


@dataclass(frozen=True, slots=True)
class Replayed:
    """A call with everything that led to its outcome, in order."""

    call: Call
    steps: tuple[Step, ...]
    aliens: tuple[Alien, ...]

    def shown(self) -> dict[str, Any]:
        requested = self.call.requested
        return {
            "id": str(self.call.ref),
            "function": requested.function,
            "principal": requested.principal.id,
            "on_behalf_of": requested.principal.on_behalf_of,
            "state": self.call.state,
            "steps": [step.shown() for step in self.steps],
            "aliens": [shown_alien(alien) for alien in self.aliens],
        }


async def session_chains(log: Log, partitions: Iterable[Partition], session_id: str) -> list[Chain]:
    """The session's calls in every epoch, in the order in which they began. BrokerAway."""
    chains: list[Chain] = []
    for partition in homes(session_id, partitions):
        chains += await log.read_session(partition, session_id)
    return [chain for chain in chains if chain.call.chain]


async def replay(chain: Chain, sealer: Sealer, records: Records) -> Replayed:
    """The call with its masked payloads opened, and with the grant that let it through. BrokerAway."""
    steps = [
        await _step(recorded, await _granted(chain.call, recorded, records), sealer) for recorded in chain.call.chain
    ]
    return Replayed(chain.call, tuple(steps), chain.aliens)


async def _granted(call: Call, allowed: Recorded, records: Records) -> Row | None:
    """None for all but an `allowed` by a grant. Its text is not checked: the function may be another by now."""
    data = allowed.data
    if not isinstance(data, Allowed) or data.grant is None:
        return None
    proof = await GrantProof.read(records, data.grant, call.ref)
    if proof is None:
        return {"proven": False}
    return {
        "proven": proof.holds(call, allowed, None),
        "by": proof.grant.by.id,
        "by_issuer": proof.grant.by.issuer,
        "since": rfc3339(proof.granted.record.at),
        "expires_at": rfc3339(proof.grant.expires_at),
        "uses": proof.grant.uses,
        "used_at": rfc3339(proof.used.record.at),
        "revoked_at": None if proof.revoked is None else rfc3339(proof.revoked.record.at),
        "revoked_by": None if proof.revocation is None else proof.revocation.by.id,
    }


async def _step(recorded: Recorded, granted: Row | None, sealer: Sealer) -> Step:
    step = Step(recorded, granted=granted)
    for name, shown_as in _SHOWN.get(type(recorded.data), {}).items():
        payload = getattr(recorded.data, name)
        if payload is None:
            continue
        try:
            place = Place(recorded.ref, recorded.event.event_id, name)
            step.opened[shown_as] = await sealer.open(payload, place, "view")
        except Rejected as rejected:
            step.withheld[shown_as] = rejected.code
    return step


def shown_chain(chain: Chain, ring: Ring) -> dict[str, Any]:
    """A call event by event, with what proves each: digest, what it follows, the key that signed it, its place."""
    everything: list[tuple[Recorded, str | None]] = [(recorded, None) for recorded in chain.call.chain]
    everything += chain.call.aliens
    verified = {recorded.sequence for recorded, _ in everything}
    messages = [_message(recorded, code, ring) for recorded, code in everything]
    messages += [{**shown_alien(alien), "place": "alien"} for alien in chain.aliens if alien.sequence not in verified]
    return {
        "id": str(chain.call.ref),
        "state": chain.call.state,
        "genesis": chain.call.genesis,
        "head": chain.call.head_digest,
        "events": sorted(messages, key=lambda message: int(message["sequence"])),
    }


def _message(recorded: Recorded, code: str | None, ring: Ring) -> dict[str, Any]:
    key = ring.key(recorded.key_id)
    return {
        "sequence": recorded.sequence,
        "event": recorded.name,
        "event_id": recorded.event.event_id,
        "at": rfc3339(recorded.event.at),
        "recorded_at": rfc3339(recorded.recorded_at),
        "digest": recorded.digest,
        "follows": recorded.event.follows,
        "key_id": recorded.key_id,
        "role": key.role.value if key else None,
        "place": "chain" if code is None else "alien",
        "code": code,
    }


def shown_alien(alien: Alien) -> dict[str, Any]:
    return {
        "sequence": alien.sequence,
        "subject": alien.subject,
        "code": alien.code,
        "recorded_at": rfc3339(alien.recorded_at),
    }


def plain(value: JsonValue) -> JsonValue:
    """The same for orjson, which takes integers of 64 bits only."""
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, int) and not -_LONG <= value < _LONG:
        return orjson.Fragment(str(value).encode())
    return value


def _embedded(payload: bytes) -> JsonValue:
    with contextlib.suppress(orjson.JSONDecodeError):
        orjson.loads(payload)
        return orjson.Fragment(payload)
    return payload.decode("utf-8", "replace")
