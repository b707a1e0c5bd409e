"""The Cedar schema of a catalog: what `callgate policy validate` checks the policies against.

Agent in [Group]     people and agents alike; of who asks also on_behalf_of? (whom a delegated token names), actors?
                     (the chain of `act`, who asks included), bound_by? ("dpop" or "mtls": how the token was proved)
Connection           the resource of `call` and of one action per function
Call                 the resource of `approve` and `settle`: requester, on_behalf_of?, requester_groups, function,
                     connection, tags, findings
Session              the resource of `audit` and `reveal`: owner?
Scope                the resource of `freeze`, `unfreeze`, `revoke`, `unrevoke` and `accept`: kind ("agent", "session",
                     "function", "connection" or "everything"; of a revocation "agent" or "token"), agent?, session?,
                     function?, connection?, tags

action call; action "tag:money"; action "payments.refund" in [call, "tag:money"]
    context { input, facts, findings, approved, session { calls, executed, denied }, now }
action approve, settle
    context { now, input { "payments.refund"?, … } }: by the function's name its masked arguments, everything optional
action audit, reveal, freeze, unfreeze, revoke, unrevoke, accept
    context { now }
"""

from collections.abc import Mapping

from callgate.cedar.facts import facts_schema, named_type, record_type
from callgate.cedar.shapes import Record, Scalar, SetOf, Shape, Untypable, input_shape
from contracts.functions import Catalog, Function, McpConnection
from contracts.model import JsonValue

AGENT, GROUP, CONNECTION, CALL, SESSION = "Agent", "Group", "Connection", "Call", "Session"
SCOPE = "Scope"

CALL_ACTION, APPROVE, SETTLE, AUDIT, REVEAL = "call", "approve", "settle", "audit", "reveal"
FREEZE, UNFREEZE = "freeze", "unfreeze"
REVOKE, UNREVOKE = "revoke", "unrevoke"
ACCEPT = "accept"
_MASKED_INPUT = "MaskedInput"


def cedar_schema(catalog: Catalog) -> dict[str, JsonValue]:
    """The schema in Cedar's JSON format."""
    tags = sorted({tag for function in catalog for tag in function.spec.tags} | _promised_tags(catalog))
    actions: dict[str, JsonValue] = {CALL_ACTION: {}}
    actions |= {tag_action(tag): {} for tag in tags}
    actions |= {function.name: _action_of(function) for function in catalog}
    seen = {"now": named_type("datetime"), "input": {"type": "EntityOrCommon", "name": _MASKED_INPUT}}
    actions |= {action: _applies_to(CALL, seen) for action in (APPROVE, SETTLE)}
    actions |= {action: _applies_to(SESSION, {"now": named_type("datetime")}) for action in (AUDIT, REVEAL)}
    actions |= {
        action: _applies_to(SCOPE, {"now": named_type("datetime")})
        for action in (FREEZE, UNFREEZE, REVOKE, UNREVOKE, ACCEPT)
    }
    common = {_MASKED_INPUT: _masked_input(catalog)}
    return {"": {"commonTypes": common, "entityTypes": _entity_types(), "actions": actions}}


def _promised_tags(catalog: Catalog) -> set[str]:
    """The tags of tools that may yet be found: a policy may name them before."""
    servers = (one for one in catalog.connections.values() if isinstance(one, McpConnection))
    return {tag for server in servers for said in server.tools.values() for tag in said.tags}


def untypable(catalog: Catalog) -> list[Untypable]:
    """The parts of the functions' inputs that no policy can see; a call that passes one is denied."""
    return [part for function in catalog for part in input_shape(function.name, function.spec.input)[1]]


def tag_action(tag: str) -> str:
    return f"tag:{tag}"


def is_group(action: str) -> bool:
    """Whether an action stands for the functions in it."""
    return action == CALL_ACTION or action.startswith(tag_action(""))


def _entity_types() -> dict[str, JsonValue]:
    agent: dict[str, JsonValue] = {"type": "EntityOrCommon", "name": AGENT}
    strings = _set_of(named_type("String"))
    call: dict[str, JsonValue] = {
        "requester": agent,
        "on_behalf_of": agent | {"required": False},
        "requester_groups": strings,
        "function": named_type("String"),
        "connection": named_type(CONNECTION),
        "tags": strings,
        "findings": strings,
    }
    optional: dict[str, JsonValue] = {"required": False}
    scope: dict[str, JsonValue] = {
        "kind": named_type("String"),
        "agent": agent | optional,
        "session": named_type("String") | optional,
        "function": named_type("String") | optional,
        "connection": named_type(CONNECTION) | optional,
        "tags": strings,
    }
    return {
        GROUP: {},
        AGENT: {
            "memberOfTypes": [GROUP],
            "shape": record_type(
                {
                    "on_behalf_of": agent | optional,
                    "actors": _set_of(agent) | optional,
                    "bound_by": named_type("String") | optional,
                }
            ),
        },
        CONNECTION: {},
        CALL: {"shape": record_type(call)},
        SESSION: {"shape": record_type({"owner": agent | {"required": False}})},
        SCOPE: {"shape": record_type(scope)},
    }


def _action_of(function: Function) -> dict[str, JsonValue]:
    shape, _ = input_shape(function.name, function.spec.input)
    context = {
        "input": _type(shape),
        "facts": record_type(facts_schema(shape)),
        "findings": _set_of(named_type("String")),
        "approved": named_type("Bool"),
        "session": record_type({name: named_type("Long") for name in ("calls", "executed", "denied")}),
        "now": named_type("datetime"),
    }
    groups = [CALL_ACTION, *(tag_action(tag) for tag in function.spec.tags)]
    return {"memberOf": [{"id": group} for group in groups]} | _applies_to(CONNECTION, context)


def _applies_to(resource: str, context: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {
        "appliesTo": {
            "principalTypes": [AGENT],
            "resourceTypes": [resource],
            "context": record_type(dict(context)),
        }
    }


def _masked_input(catalog: Catalog) -> dict[str, JsonValue]:
    """Of every function its arguments, where masking may have left out any of them."""
    return record_type(
        {
            function.name: _type(input_shape(function.name, function.spec.input)[0], masked=True) | {"required": False}
            for function in catalog
        }
    )


def _type(shape: Shape, *, masked: bool = False) -> dict[str, JsonValue]:
    if isinstance(shape, Scalar):
        return named_type(shape.name)
    if isinstance(shape, SetOf):
        return _set_of(_type(shape.item, masked=masked))
    return _record_type(shape, masked=masked)


def _record_type(shape: Record, *, masked: bool) -> dict[str, JsonValue]:
    return record_type(
        {
            name: _type(attribute.shape, masked=masked) | {"required": attribute.required and not masked}
            for name, attribute in shape.attributes.items()
        }
    )


def _set_of(element: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"type": "Set", "element": element}
