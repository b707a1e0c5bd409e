"""The masked input of a call, as far as policies on `approve` and `settle` read it: their `context.input`.

    {"payments.refund": {"amount": decimal("400.0"), "currency": "USD"}}

Other than what policy asks about a call's raw arguments, this is lenient: what masking replaced, and what does not fit
its type exactly, is left out like an argument that was not given. A permit that needs it then permits nothing.
"""

import json
from collections.abc import Collection, Mapping, Sequence

from callgate.cedar.policies import PolicyProblem, PolicySet
from callgate.cedar.schema import APPROVE, SETTLE
from callgate.cedar.shapes import Record, Shape, input_shape
from callgate.cedar.values import CedarJson, NoDecision, cedar_value
from callgate.jsontext import pointer_token
from contracts.functions import Catalog
from contracts.model import JsonValue

Reads = frozenset[tuple[str, ...]]
"""Paths under `context.input`, each beginning with a function's name; `()` is all of it."""

NOTHING_SEEN = "{}"
"""The `context.input` of a call whose arguments no policy reads, or nobody can open."""


def input_reads(policies: PolicySet, right: str) -> Reads:
    """What the policies in whose scope `right` is read of the masked input."""
    read = {
        path
        for policy in policies.policies.values()
        if not policy.actions or right in policy.actions
        for path in policy.reads
    }
    return frozenset(path[1:] for path in read if not path or path[0] == "input")


def are_about(reads: Reads, function: str) -> bool:
    """Whether they read anything of calls of that function."""
    return any(not path or path[0] == function for path in reads)


def mistaken_reads(policies: PolicySet, catalog: Catalog) -> list[PolicyProblem]:
    """The functions and arguments that policies on `approve` and `settle` read and that do not exist.

    Cedar takes `context.input has "payments.refnd"` for a way to say no, and checks nothing of what follows it.
    """
    shapes = {function.name: input_shape(function.name, function.spec.input)[0] for function in catalog}
    found = []
    for policy in policies.policies.values():
        if not policy.actions or not policy.actions <= {APPROVE, SETTLE}:
            continue
        for path in sorted(path[1:] for path in policy.reads if len(path) > 1 and path[0] == "input"):
            function, *steps = path
            if function in shapes:
                missing = _missing(shapes[function], steps)
                what = f"{function} has no argument {missing} that a policy can see" if missing is not None else None
            else:
                what = None if catalog.awaits(function) else f"there is no function {function}"
            if what is not None:
                found.append(PolicyProblem(f"reads what is not there: {what}", policy.id, policy.file, policy.line))
    return found


def _missing(shape: Shape, steps: Sequence[str]) -> str | None:
    """The first step to nowhere."""
    for step in steps:
        attribute = shape.attributes.get(step) if isinstance(shape, Record) else None
        if attribute is None:
            return step
        shape = attribute.shape
    return None


def masked_input(function: str, shape: Record, view: JsonValue, masked: Collection[str], reads: Reads) -> str:
    """`context.input` of a call, in Cedar's JSON format: what is read of its masked view.

    `masked` are JSON pointers to what masking replaced in it.
    """
    of_function = frozenset(path[1:] for path in reads if not path or path[0] == function)
    if not of_function:
        return NOTHING_SEEN
    seen = _record(shape, view, "", masked, of_function) if isinstance(view, dict) else {}
    return json.dumps({function: seen}, sort_keys=True, separators=(",", ":"))


def _record(
    shape: Record, value: Mapping[str, JsonValue], pointer: str, masked: Collection[str], reads: Reads
) -> dict[str, CedarJson]:
    """Attribute by attribute; a list is whole or not there, since a part of it would say something else."""
    seen: dict[str, CedarJson] = {}
    for name, attribute in shape.attributes.items():
        below = reads if () in reads else frozenset(path[1:] for path in reads if path[0] == name)
        member, at = value.get(name), pointer + pointer_token(name)
        if not below or member is None:
            continue
        if isinstance(attribute.shape, Record):
            if isinstance(member, dict):
                seen[name] = _record(attribute.shape, member, at, masked, below)
        elif not any(path == at or path.startswith(f"{at}/") for path in masked):
            try:
                seen[name] = cedar_value(attribute.shape, member, at)
            except NoDecision:
                continue
    return seen
