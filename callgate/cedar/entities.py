"""The resources of approving and auditing as Cedar entities, and the contexts that go with them."""

from collections.abc import Iterable
from datetime import UTC, datetime

from callgate.cedar.schema import CALL, SCOPE, SESSION
from callgate.cedar.values import CedarJson
from contracts.functions import Catalog, Function
from contracts.identity import Principal
from contracts.model import JsonValue


def call_entity(call_id: str, function: Function, requester: Principal, findings: Iterable[str]) -> JsonValue:
    """The resource of `approve` and `settle`: what a person's right may depend on."""
    attributes: dict[str, CedarJson] = {
        "requester": _entity("Agent", requester.id),
        "requester_groups": sorted(set(requester.groups)),
        "function": function.name,
        "connection": _entity("Connection", function.connection),
        "tags": sorted(set(function.spec.tags)),
        "findings": sorted(set(findings)),
    }
    if requester.on_behalf_of is not None:
        attributes["on_behalf_of"] = _entity("Agent", requester.on_behalf_of)
    return {"uid": {"type": CALL, "id": call_id}, "attrs": attributes, "parents": []}


def call_traits(requester: Principal) -> tuple[object, ...]:
    """All of a requester that `call_entity` tells: calls of the same function whose requesters agree in it, and in
    which masking found the same, differ by their id alone."""
    return requester.id, requester.groups, requester.on_behalf_of


def session_entity(session_id: str, owner: str | None) -> JsonValue:
    """The resource of `audit` and `reveal`."""
    attributes = {} if owner is None else {"owner": _entity("Agent", owner)}
    return {"uid": {"type": SESSION, "id": session_id}, "attrs": attributes, "parents": []}


def scope_entity(kind: str, target: str | None, catalog: Catalog) -> JsonValue:
    """The resource of `freeze`, `accept` and the like: a kind of contracts.records.FreezeScope, and what it is."""
    attributes: dict[str, CedarJson] = {"kind": kind, "tags": []}
    function = catalog.get(target) if kind == "function" and target is not None else None
    if kind in ("session", "function") and target is not None:
        attributes[kind] = target
    if kind == "agent" and target is not None:
        attributes["agent"] = _entity("Agent", target)
    if function is not None:
        attributes |= {
            "tags": sorted(set(function.spec.tags)),
            "connection": _entity("Connection", function.connection),
        }
    if kind == "connection" and target is not None:
        tags = {tag for one in catalog if one.connection == target for tag in one.spec.tags}
        attributes |= {"tags": sorted(tags), "connection": _entity("Connection", target)}
    return {"uid": {"type": SCOPE, "id": f"{kind}:{target or ''}"}, "attrs": attributes, "parents": []}


def datetime_value(at: datetime) -> CedarJson:
    """Cedar's datetime has milliseconds; what is finer is cut off, as a clock with milliseconds would."""
    utc = at.astimezone(UTC)
    return {"__extn": {"fn": "datetime", "arg": f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03}Z"}}


def _entity(kind: str, name: str) -> CedarJson:
    return {"__entity": {"type": kind, "id": name}}
