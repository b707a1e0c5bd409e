"""From the records of one grant or freeze on CONTROL to the projection's rows, pure.

Contracts' own folds say what counts; here is noted beside them when and by whom.
"""

import json
from dataclasses import dataclass, field

from callgate.records import Standing
from contracts.freezes import Freeze, Freezes
from contracts.grants import Grant, Grants
from contracts.model import rfc3339
from contracts.records import Frozen, FrozenV1, Granted, GrantRevoked, GrantUsed, Unfrozen
from services.audit.rows import Row, Rows, text


@dataclass(slots=True)
class GrantStory:
    """Everything about one grant so far; `apply` its records in order."""

    _folded: Grants = field(default_factory=Grants)
    _grant_id: str = ""
    _made: Row = field(default_factory=dict)
    _ended: Row = field(default_factory=lambda: {"revoked_at": None, "revoked_by": None})
    _uses: list[Row] = field(default_factory=list)

    def apply(self, standing: Standing) -> None:
        data = standing.data
        if not isinstance(data, Granted | GrantUsed | GrantRevoked):
            return
        before = self._folded.all.get(data.grant_id)
        self._folded = self._folded.apply(standing.record, standing.digest)
        after = self._folded.all.get(data.grant_id)
        if after is before or after is None:
            return
        if isinstance(data, Granted):
            self._grant_id, self._made = data.grant_id, {"sequence": standing.sequence}
        elif isinstance(data, GrantUsed):
            self._uses.append(_use(data, standing))
        elif before is not None and not before.revoked:
            self._ended = {"revoked_at": rfc3339(standing.record.at), "revoked_by": text(data.by.id)}

    def add_to(self, rows: Rows) -> None:
        """Nothing where no grant was made."""
        grant = self._folded.all.get(self._grant_id)
        if grant is not None:
            rows.grants.append({**_grant(grant), **self._made, **self._ended})
            rows.grant_uses += self._uses


@dataclass(slots=True)
class FreezeStory:
    """Everything about one freeze so far; `apply` its records in order."""

    _folded: Freezes = field(default_factory=Freezes)
    _freeze_id: str = ""
    _made: Row = field(default_factory=dict)
    _ended: Row = field(default_factory=lambda: {"lifted_at": None, "lifted_by": None})

    def apply(self, standing: Standing) -> None:
        data = standing.data
        if not isinstance(data, Frozen | FrozenV1 | Unfrozen):
            return
        before = self._folded.all.get(data.freeze_id)
        self._folded = self._folded.apply(standing.record)
        after = self._folded.all.get(data.freeze_id)
        if after is before or after is None:
            return
        if not isinstance(data, Unfrozen):
            self._freeze_id = data.freeze_id
            self._made = {"sequence": standing.sequence, "digest": standing.digest}
        elif before is not None and not before.lifted:
            self._ended = {"lifted_at": rfc3339(standing.record.at), "lifted_by": text(data.by.id)}

    def add_to(self, rows: Rows) -> None:
        """Nothing where no freeze was made."""
        freeze = self._folded.all.get(self._freeze_id)
        if freeze is not None:
            rows.freezes.append({**_freeze(freeze), **self._made, **self._ended})


def _grant(grant: Grant) -> Row:
    data = grant.data
    return {
        "grant_id": data.grant_id,
        "digest": grant.digest,
        "by": text(data.by.id),
        "by_issuer": text(data.by.issuer),
        "agent": _text(data.agent),
        "issuer": _text(data.issuer),
        "on_behalf_of": _text(data.on_behalf_of),
        "session_id": _text(data.session_id),
        "function": text(data.function),
        "conditions": json.dumps(data.conditions),
        "policy": text(data.policy),
        "uses": data.uses,
        "used": len(grant.uses),
        "since": rfc3339(grant.since),
        "expires_at": rfc3339(data.expires_at),
    }


def _use(data: GrantUsed, standing: Standing) -> Row:
    return {
        "grant_id": data.grant_id,
        "number": data.number,
        "call": text(data.call),
        "at": rfc3339(standing.record.at),
        "sequence": standing.sequence,
    }


def _freeze(freeze: Freeze) -> Row:
    return {
        "freeze_id": freeze.freeze_id,
        "scope": freeze.scope,
        "target": _text(freeze.target),
        "issuer": _text(freeze.issuer),
        "by": text(freeze.by.id),
        "by_issuer": text(freeze.by.issuer),
        "since": rfc3339(freeze.since),
        "expires_at": None if freeze.expires_at is None else rfc3339(freeze.expires_at),
    }


def _text(value: str | None) -> str | None:
    return None if value is None else text(value)
