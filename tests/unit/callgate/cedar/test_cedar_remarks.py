"""Remarks on policies that are valid and surely not meant."""

from types import SimpleNamespace
from typing import Any, cast

from callgate.cedar.policies import PolicySet
from callgate.cedar.remarks import remarks
from contracts.functions import Catalog

SCHEMA = {"properties": {"currency": {"enum": ["EUR"]}, "note": {"type": "string"}}}
FUNCTION = SimpleNamespace(spec=SimpleNamespace(input=SCHEMA))
CATALOG = cast(Catalog, SimpleNamespace(get=lambda name: FUNCTION if name == "a.b" else None))
HELD = """@id("held") @approvers("sre") @break_glass("lead")
forbid(principal, action == Action::"a.b", resource) when { %s };"""


def remarked(condition: str, permit: str) -> list[str]:
    text = HELD % condition + "\n" + permit
    policies: Any = PolicySet.load({"a.cedar": text}, {"": {"entityTypes": {}, "actions": {}}}).policies
    return remarks(text, list(policies.values()), CATALOG)


NAMED = '@id("p") permit(principal in Group::"sre", action == Action::"approve", resource);'
ANYBODY = '@id("p") permit(principal, action == Action::"approve", resource);'


def test_a_value_outside_the_enum_is_remarked() -> None:
    assert remarked('context.input.currency == "EUX"', ANYBODY) == [
        '[held] compares input.currency with "EUX", not in its enum'
    ]
    assert remarked('context.input.currency == "EUR" && context.input.note == "x"', ANYBODY) == []


def test_a_group_that_no_permit_names_is_remarked() -> None:
    assert remarked("true", NAMED) == ["[held] asks lead, which no permit on `approve` names"]
    assert remarked("true", ANYBODY) == []
