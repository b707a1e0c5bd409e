"""What is valid in policies and surely not meant: values that no enum has, and groups that nobody lets approve."""

import json
from collections.abc import Iterator, Mapping, Sequence

import cedarpy

from callgate.cedar.policies import Policy
from callgate.cedar.source import context_path
from contracts.functions import Catalog
from contracts.model import JsonValue

_COMPARED = ("==", "!=")


def remarks(text: str, policies: Sequence[Policy], catalog: Catalog) -> list[str]:
    """One line each. `text` is of all the policies, in their order."""
    parsed = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    documents = [parsed[f"policy{position}"] for position in range(len(policies))]
    found = []
    for policy, document in zip(policies, documents, strict=True):
        for path, value in _comparisons(document["conditions"]):
            schemas = [_declared(catalog, action, path) for action in policy.actions]
            if schemas and all("enum" in one and value not in one["enum"] for one in schemas):
                found.append(
                    f"[{policy.id}] compares input.{'.'.join(path[1:])} with {json.dumps(value)}, not in its enum"
                )
    named = _may_approve(documents)
    for policy in policies if named is not None else ():
        if policy.approval is not None:
            asked = {*policy.approval.approvers, *policy.approval.break_glass, *(policy.approval.escalate or ((),))[0]}
            found += [
                f"[{policy.id}] asks {group}, which no permit on `approve` names"
                for group in sorted(asked - (named or set()))
            ]
    return found


def _declared(catalog: Catalog, action: str, path: tuple[str, ...]) -> Mapping[str, JsonValue]:
    function = catalog.get(action)
    at: JsonValue = function.spec.input if function is not None else {}
    for name in path[1:]:
        at = at.get("properties", {}).get(name, {}) if isinstance(at, dict) else {}
    return at if isinstance(at, dict) else {}


def _comparisons(expression: JsonValue) -> Iterator[tuple[tuple[str, ...], JsonValue]]:
    for part in _parts(expression):
        for operator in _COMPARED:
            sides = part.get(operator)
            if isinstance(sides, dict):
                for one, other in ((sides["left"], sides["right"]), (sides["right"], sides["left"])):
                    path = context_path(one)
                    if path and path[0] == "input" and isinstance(other, dict) and isinstance(other.get("Value"), str):
                        yield path, other["Value"]


def _may_approve(documents: Sequence[JsonValue]) -> set[str] | None:
    """The groups of the permits on `approve`; None where one names no group, since it may permit any."""
    groups: set[str] = set()
    for document in documents:
        actions = {part["id"] for part in _parts(document["action"]) if part.get("type") == "Action"}
        if document["effect"] != "permit" or (actions and "approve" not in actions):
            continue
        own = {
            part["id"]
            for part in _parts([document["principal"], document["conditions"]])
            if part.get("type") == "Group"
        }
        if not own:
            return None
        groups |= own
    return groups


def _parts(expression: JsonValue) -> Iterator[dict[str, JsonValue]]:
    if isinstance(expression, dict):
        yield expression
        expression = list(expression.values())
    for part in expression if isinstance(expression, list) else ():
        yield from _parts(part)
