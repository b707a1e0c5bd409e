"""The decision: two passes, the requirements in between, and every way to fail closed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callgate.cedar.policies import PolicySet
from callgate.cedar.schema import cedar_schema
from callgate.errors import ConfigurationError
from contracts.events import Escalation, InputProblem, Requirement
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from contracts.identity import Principal
from services.policy.domain import (
    NO_POLICY_SET,
    CallFacts,
    Rules,
    SessionFacts,
    Verdict,
    decide,
    decide_amended,
    decide_approved,
    prepare,
)

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
CARD = "4111111111111111"
REFUND = {
    "type": "object",
    "properties": {
        "amount": {"type": "number", "minimum": 0},
        "card": {"type": "string", "pattern": "^[0-9]+$"},
        "note": {"type": ["string", "null"]},
        "quantity": {"type": "integer"},
        "free": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "mixed": {"type": "array", "items": {"type": "number"}},
        "order": {"type": "object", "properties": {"total": {"type": "integer"}}},
    },
    "required": ["amount"],
}


def catalog_of(schema: dict[str, Any]) -> Catalog:
    function = FunctionSpec(path="/refund", input=schema, tags=("money",))
    return Catalog({"payments": HttpConnection(base_url="http://127.0.0.1:1", functions={"refund": function})})


CATALOG = catalog_of(REFUND)
FUNCTION = CATALOG.get("payments.refund")

PERMIT = '@id("agents-refund") permit(principal in Group::"bots", action == Action::"payments.refund", resource);\n'
LARGE = """
@id("large") @approvers("finance") @quorum("2") @expires("15m")
forbid(principal, action == Action::"payments.refund", resource)
unless { context.approved || context.input.amount.lessThanOrEqual(decimal("100.0")) };
"""


def rules(*policies: str, valid: bool = True) -> Rules:
    loaded = PolicySet.load({"p.cedar": "\n".join(policies)}, cedar_schema(CATALOG))
    assert (loaded.validate() == []) is valid
    return prepare(CATALOG, loaded)


def forbid(
    name: str, condition: str, annotations: str = "", action: str = 'action == Action::"payments.refund"'
) -> str:
    return f'@id("{name}") {annotations} forbid(principal, {action}, resource) when {{ {condition} }};'


def call(view: Any = None, **arguments: Any) -> CallFacts:
    arguments = {"amount": 40} | arguments
    return CallFacts(
        function=FUNCTION,
        principal=Principal(id="bot", issuer="i", groups=("bots",)),
        arguments=arguments,
        view=arguments if view is None else view,
        findings=frozenset(),
        inspectable=True,
        session=SessionFacts(),
        now=NOW,
    )


def summary(verdict: Verdict) -> tuple[str, str, tuple[str, ...]]:
    return verdict.outcome, verdict.code, verdict.policies


JUDGEMENTS: list[Callable[[Rules, CallFacts], Verdict]] = [
    decide,
    lambda judged_by, facts: decide_approved(judged_by, facts, lambda _: True, NOW),
]
both = pytest.mark.parametrize("judge", JUDGEMENTS, ids=["first", "approved"])


# The two passes


def test_allowed_names_the_permit() -> None:
    judged_by = rules(PERMIT, LARGE)
    verdict = decide(judged_by, call())
    assert summary(verdict) == ("allowed", "permitted", ("agents-refund",))
    assert judged_by.policies is not None
    assert verdict.policy_set == judged_by.policies.digest
    assert verdict.requirements == ()


@both
def test_without_a_permit_a_call_is_denied(judge: Callable[[Rules, CallFacts], Verdict]) -> None:
    stranger = replace(call(amount=500), principal=Principal(id="x", issuer="i"))
    assert summary(judge(rules(PERMIT, LARGE), stranger)) == ("denied", "not_permitted", ())


@both
def test_a_forbid_that_approval_cannot_lift(judge: Callable[[Rules, CallFacts], Verdict]) -> None:
    never = forbid("never", 'context.input.amount.greaterThan(decimal("10.0"))', '@approvers("sre")')
    verdict = judge(rules(PERMIT, LARGE, never), call(amount=500))
    assert summary(verdict) == ("denied", "forbidden", ("never",))
    assert verdict.requirements == ()


def test_a_forbid_that_approval_lifts_becomes_a_requirement() -> None:
    verdict = decide(rules(PERMIT, LARGE), call(amount=100.5))
    assert summary(verdict) == ("approval_required", "approval_required", ("large",))
    assert verdict.requirements == (
        Requirement(
            policies=("large",),
            approvers=("finance",),
            quorum=2,
            expires_at=NOW + timedelta(minutes=15),
            remind_at=NOW + timedelta(minutes=10),
        ),
    )
    assert verdict.facts == {"/amount": 100.5}


def test_each_lifted_forbid_is_a_requirement_of_its_own() -> None:
    noted = forbid("noted", "context.input has note && !context.approved", '@approvers("sre,security") @expires("2h")')
    verdict = decide(rules(PERMIT, LARGE, noted), call(amount=500, note="x"))
    assert [(r.policies, r.approvers, r.quorum) for r in verdict.requirements] == [
        (("large",), ("finance",), 2),
        (("noted",), ("sre", "security"), 1),
    ]
    assert [r.expires_at - NOW for r in verdict.requirements] == [timedelta(minutes=15), timedelta(hours=2)]
    assert verdict.facts == {"/amount": 500, "/note": "x"}


def test_a_permit_that_waits_for_approval_becomes_a_requirement() -> None:
    waits = forbid("w", "context.approved", '@approvers("sre")').replace("forbid(", "permit(")
    verdict = decide(rules(waits), call())
    assert summary(verdict) == ("approval_required", "approval_required", ("w",))
    assert verdict.requirements[0].approvers == ("sre",)


@both
def test_a_requirement_that_nobody_can_meet_is_a_denial(judge: Callable[[Rules, CallFacts], Verdict]) -> None:
    orphan = forbid("orphan", "!context.approved")
    assert judge(rules(PERMIT, LARGE, orphan), call(amount=500)).outcome == "denied"
    verdict = judge(rules(PERMIT, orphan), call())
    assert summary(verdict) == ("denied", "no_approvers", ("orphan",))


# After approval


def test_approved_and_covered_is_allowed() -> None:
    asked: list[tuple[Requirement, ...]] = []

    def met(requirements: tuple[Requirement, ...]) -> bool:
        asked.append(requirements)
        return True

    verdict = decide_approved(rules(PERMIT, LARGE), call(amount=500), met, NOW - timedelta(minutes=3))
    assert summary(verdict) == ("allowed", "approved", ("agents-refund", "large"))
    assert [requirement.policies for requirement in asked[0]] == [("large",)]
    # Whoever came by escalation is counted from when people were asked, not from now.
    assert asked[0][0].expires_at == NOW + timedelta(minutes=12)


def test_approvals_that_do_not_cover_what_policies_demand_now() -> None:
    verdict = decide_approved(rules(PERMIT, LARGE), call(amount=500), lambda _: False, NOW)
    assert summary(verdict) == ("denied", "approval_insufficient", ("large",))


def test_approval_of_what_policies_allow_by_now_anyway() -> None:
    verdict = decide_approved(rules(PERMIT), call(amount=500), lambda _: False, NOW)
    assert summary(verdict) == ("allowed", "permitted", ("agents-refund",))


def test_what_approval_itself_forbids_is_denied() -> None:
    odd = forbid("odd", "context.approved")
    judged_by = rules(PERMIT, odd)
    assert decide(judged_by, call()).outcome == "allowed"
    verdict = decide_approved(judged_by, call(), lambda _: True, NOW)
    assert summary(verdict) == ("denied", "forbidden", ("odd",))


# Fail closed


@both
def test_no_policy(judge: Callable[[Rules, CallFacts], Verdict]) -> None:
    none = judge(prepare(CATALOG, None), call())
    assert (summary(none), none.policy_set) == (("denied", "no_policy", ()), NO_POLICY_SET)
    empty = PolicySet.load({}, cedar_schema(CATALOG))
    assert summary(judge(prepare(CATALOG, empty), call())) == ("denied", "no_policy", ())


@both
def test_a_function_that_is_unknown_or_another_by_now(judge: Callable[[Rules, CallFacts], Verdict]) -> None:
    changed = catalog_of(REFUND | {"required": []}).get("payments.refund")
    renamed = FUNCTION.model_copy(update={"name": "payments.other"}) if FUNCTION else None
    for function in (None, changed, renamed):
        verdict = judge(rules(PERMIT), replace(call(), function=function))
        assert summary(verdict) == ("denied", "unknown_function", ())


@both
def test_input_that_masking_could_not_inspect(judge: Callable[[Rules, CallFacts], Verdict]) -> None:
    verdict = judge(rules(PERMIT), replace(call(), inspectable=False))
    assert summary(verdict) == ("denied", "uninspectable", ())


@both
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"amount": "40"}, InputProblem(pointer="/amount", keyword="type")),
        ({"amount": -1}, InputProblem(pointer="/amount", keyword="minimum")),
        ({"card": CARD + "x"}, InputProblem(pointer="/card", keyword="pattern")),
        ({"order": {"total": CARD}}, InputProblem(pointer="/order/total", keyword="type")),
        ({"free": [CARD]}, InputProblem(pointer="/free", keyword="anyOf")),
        ({"amount": None}, InputProblem(pointer="/amount", keyword="type")),
    ],
)
def test_input_that_breaks_its_schema(
    judge: Callable[[Rules, CallFacts], Verdict], arguments: dict[str, Any], problem: InputProblem
) -> None:
    verdict = judge(rules(PERMIT), call(view={}, **arguments))
    assert (summary(verdict), verdict.problems) == (("denied", "input_invalid", ()), (problem,))
    assert CARD not in repr(verdict)


@both
def test_a_missing_member_is_named_and_a_callers_own_key_is_not(judge: Callable[[Rules, CallFacts], Verdict]) -> None:
    missing = judge(rules(PERMIT), replace(call(), arguments={CARD: 1}))
    assert missing.problems == (InputProblem(pointer="/amount", keyword="required"),)
    undeclared = catalog_of(REFUND | {"required": ["amount", "a/b"], "additionalProperties": False})
    policies = PolicySet.load({"p.cedar": PERMIT}, cedar_schema(undeclared))
    facts = replace(call(), function=undeclared.get("payments.refund"), arguments={"amount": 1, CARD: 1})
    verdict = judge(prepare(undeclared, policies), facts)
    assert {(one.pointer, one.keyword) for one in verdict.problems} == {
        ("/a~1b", "required"),
        ("", "additionalProperties"),
    }
    assert CARD not in repr(verdict)


@both
@pytest.mark.parametrize("arguments", [[], None, "x", {}, {"amount": "\ud800"}])
def test_input_that_is_no_object_or_lacks_something(
    judge: Callable[[Rules, CallFacts], Verdict], arguments: Any
) -> None:
    verdict = judge(rules(PERMIT), replace(call(), arguments=arguments))
    assert summary(verdict) == ("denied", "input_invalid", ())


@both
@pytest.mark.parametrize(
    ("arguments", "code", "pointer"),
    [
        ({"amount": 0.00001}, "number_precision", "/amount"),
        ({"amount": 1e300}, "number_range", "/amount"),
        ({"quantity": 2**63}, "integer_range", "/quantity"),
        ({"free": "x"}, "untypable", "/free"),
        ({CARD: "x"}, "unknown_attribute", ""),
        ({"order": {CARD: "x"}}, "unknown_attribute", "/order"),
        ({"mixed": [9e14, 9e14]}, "number_range", "/mixed"),
        ({"note": "\ud800"}, None, None),
    ],
)
def test_what_cedar_cannot_hold(
    judge: Callable[[Rules, CallFacts], Verdict], arguments: dict[str, Any], code: str | None, pointer: str | None
) -> None:
    verdict = judge(rules(PERMIT), call(view={}, **arguments))
    assert verdict.outcome == "denied"
    if code is not None:
        assert (verdict.code, verdict.problems) == (code, (InputProblem(pointer=str(pointer), keyword=code),))
    assert CARD not in repr(verdict)


@both
@pytest.mark.parametrize("depth", [40, 400, 3000])
def test_input_too_deep(judge: Callable[[Rules, CallFacts], Verdict], depth: int) -> None:
    deep: Any = "x"
    for _ in range(depth):
        deep = {"order": deep}
    verdict = judge(rules(PERMIT), call(view={}, deep=deep))
    assert verdict.outcome == "denied"
    assert verdict.code in {"too_deep", "input_invalid"}


@both
def test_a_principal_that_is_no_text(judge: Callable[[Rules, CallFacts], Verdict]) -> None:
    odd = Principal.model_construct(id="\ud800", issuer="i", groups=("bots",), on_behalf_of=None, actors=())
    verdict = judge(rules(PERMIT), replace(call(), principal=odd))
    assert summary(verdict) == ("denied", "principal_invalid", ())


@both
@pytest.mark.parametrize(
    "failing",
    [
        'decimal(context.input.card).greaterThan(decimal("1.0"))',
        '!context.approved && decimal(context.input.card).greaterThan(decimal("1.0"))',
        "context.input has quantity && context.input.quantity * 9223372036854775807 > 0",
    ],
)
@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_policy_that_fails_denies_the_call(
    judge: Callable[[Rules, CallFacts], Verdict], failing: str, effect: str
) -> None:
    # Strict validation refuses decimal(…) of a value; an operator may serve policies that never passed it.
    valid = "decimal" not in failing
    failing = f"context.input has card && {failing}"
    policy = forbid("fails", failing).replace("forbid(", f"{effect}(")
    masked = {"amount": 40, "card": "****", "quantity": 3}
    verdict = judge(rules(PERMIT, policy, valid=valid), call(view=masked, card=CARD, quantity=3))
    assert summary(verdict) == ("denied", "policy_error", ("fails",))
    assert CARD not in repr(verdict)


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_a_policy_that_fails_only_once_approved_denies_what_needs_approval(effect: str) -> None:
    failing = 'context.input has card && context.approved && decimal(context.input.card).greaterThan(decimal("1.0"))'
    policy = forbid("fails", failing).replace("forbid(", f"{effect}(")
    facts = call(view={"amount": 40, "card": "****"}, card=CARD)
    # What is allowed without approval is not asked a second time.
    assert decide(rules(PERMIT, policy, valid=False), facts).outcome == "allowed"
    held_back = forbid("ask", "!context.approved")
    verdict = decide(rules(PERMIT, policy, held_back, valid=False), facts)
    assert summary(verdict) == ("denied", "policy_error", ("fails",))
    verdict = decide_approved(rules(PERMIT, policy, valid=False), facts, lambda _: True, NOW)
    assert summary(verdict) == ("denied", "policy_error", ("fails",))


def test_a_schema_that_is_none_is_refused_at_start() -> None:
    for broken in ({"type": "object", "required": 3}, {"type": "object", "$ref": "http://127.0.0.1:1/x"}):
        with pytest.raises(ConfigurationError, match=r"payments\.refund"):
            prepare(catalog_of(broken), None)


# Facts


def test_facts_come_from_the_masked_view_alone() -> None:
    policy = forbid(
        "card",
        'context.input has card && context.input.card like "4*" && context.input has order && context.input.order'
        " has total && context.input.order.total > 3 && !context.approved",
        '@approvers("sre")',
    )
    view = {"amount": 40, "card": "****1111", "order": {"total": 5}, "note": "not read"}
    verdict = decide(rules(PERMIT, policy), call(view=view, card=CARD, order={"total": 5}, note="not read"))
    assert verdict.outcome == "approval_required"
    assert verdict.facts == {"/card": "****1111", "/order/total": 5}
    withheld = decide(rules(PERMIT, policy), call(view="withheld", card=CARD, order={"total": 5}))
    assert withheld.facts == {}
    assert CARD not in repr(verdict) + repr(withheld) + repr(call(view=view, card=CARD))


def test_facts_stay_small() -> None:
    policy = forbid(
        "n",
        'context.input has note && context.input.note != "" && context.input has mixed'
        ' && context.input.mixed.contains(decimal("1.0"))',
    )
    verdict = decide(rules(PERMIT, policy), call(note="x" * 9999, mixed=[1] * 999))
    assert verdict.policies == ("n",)
    assert verdict.facts == {"/note": "x" * 255 + "…", "/mixed": "(999 elements)"}


def test_amounts_in_arrays_are_summed() -> None:
    policy = forbid("sum", 'context.facts.mixed.sum.greaterThan(decimal("100.0"))')
    assert decide(rules(PERMIT, policy), call(mixed=[60, 40])).outcome == "allowed"
    assert decide(rules(PERMIT, policy), call(mixed=[60, 60])).policies == ("sum",)
    assert decide(rules(PERMIT, policy), call()).outcome == "allowed"


def test_findings_session_and_time_reach_policies() -> None:
    def judged(condition: str, facts: CallFacts) -> str:
        policy = forbid("f", condition, action='action in Action::"tag:money"')
        return decide(rules(PERMIT, policy), facts).outcome

    assert judged('context.findings.contains("US_SSN")', call()) == "allowed"
    assert judged('context.findings.contains("US_SSN")', replace(call(), findings=frozenset({"US_SSN"}))) == "denied"
    busy = replace(call(), session=SessionFacts(calls=9, executed=4, denied=5))
    condition = "context.session.calls == 9 && context.session.executed == 4 && context.session.denied == 5"
    assert judged(condition, busy) == "denied"
    assert judged(condition, call()) == "allowed"
    assert judged('context.now == datetime("2026-01-31T12:00:00Z")', call()) == "denied"


# Amended


def required(asked_at: datetime, **more: Any) -> Requirement:
    """What people were asked at that time."""
    expires_at = asked_at + timedelta(minutes=15)
    return Requirement(policies=("large",), approvers=("finance",), quorum=2, expires_at=expires_at, **more)


def test_what_is_amended_so_that_it_may_pass_waits_for_those_who_were_asked() -> None:
    """For as long as then, from now on; nothing else about the question changes."""
    before, minute = NOW - timedelta(minutes=5), timedelta(minutes=1)
    escalation = Escalation(approvers=("leads",), at=before + 2 * minute)
    asked = required(before, remind_at=before + minute, escalation=escalation, each=True, break_glass=("ops",))
    verdict = decide_amended(rules(PERMIT, LARGE), call(amount=40), (asked,), before)
    assert (verdict.outcome, verdict.code, verdict.policies) == ("approval_required", "amended", ("large",))
    (renewed,) = verdict.requirements
    assert renewed == required(
        NOW,
        remind_at=NOW + minute,
        escalation=Escalation(approvers=("leads",), at=NOW + 2 * minute),
        each=True,
        break_glass=("ops",),
    )
    assert verdict.facts == {"/amount": 40}


def test_it_waits_even_where_those_policies_are_gone() -> None:
    asked = (required(NOW), required(NOW).model_copy(update={"policies": ("gone",)}))
    verdict = decide_amended(rules(PERMIT), call(amount=40), asked, NOW)
    assert (verdict.outcome, verdict.policies, verdict.requirements) == ("approval_required", ("gone", "large"), asked)


def test_what_is_amended_is_judged_by_the_policies_of_today() -> None:
    asked = (required(NOW).model_copy(update={"approvers": ("sre",)}),)
    held_back = decide_amended(rules(PERMIT, LARGE), call(amount=250), asked, NOW)
    assert held_back == decide(rules(PERMIT, LARGE), call(amount=250))
    assert held_back.requirements[0].approvers == ("finance",)
    for facts, code in ((call(amount="much"), "input_invalid"), (replace(call(), inspectable=False), "uninspectable")):
        assert decide_amended(rules(PERMIT), facts, asked, NOW).code == code
    assert decide_amended(rules(PERMIT, forbid("never", "true")), call(), asked, NOW).code == "forbidden"
    assert decide_amended(Rules(None, {}), call(), asked, NOW).code == "no_policy"
    assert decide_amended(rules(PERMIT), replace(call(), freeze="f1"), asked, NOW).freeze == "f1"
