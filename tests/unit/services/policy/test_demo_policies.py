"""The policies of the demo, as they stand in `policies/`, against functions like the demo's."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callgate.cedar.entities import call_entity, scope_entity, session_entity
from callgate.cedar.people import Right, may
from callgate.cedar.policies import PolicySet
from callgate.cedar.schema import cedar_schema, untypable
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from contracts.identity import Principal
from services.policy.domain import CallFacts, Rules, SessionFacts, Verdict, decide, prepare

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
POLICIES = Path(__file__).parents[4] / "policies"

RIGHTS: tuple[Right, ...] = ("freeze", "unfreeze")


def connection(**functions: tuple[tuple[str, ...], Mapping[str, Any]]) -> HttpConnection:
    return HttpConnection(
        base_url="http://127.0.0.1:1",
        functions={
            name: FunctionSpec(
                path=f"/{name}",
                tags=tags,
                input={
                    "type": "object",
                    "properties": dict(properties),
                    "required": list(properties),
                    "additionalProperties": False,
                },
            )
            for name, (tags, properties) in functions.items()
        },
    )


TEXT = {"type": "string"}
CATALOG = Catalog(
    {
        "crm": connection(
            read_customer=((), {"id": TEXT}), export_customers=(("bulk",), {"limit": {"type": "integer"}})
        ),
        "deploys": connection(
            start=(
                ("production",),
                {"service": TEXT, "environment": {"enum": ["staging", "production"]} | TEXT, "version": TEXT},
            )
        ),
        "firewall": connection(change=((), {"rule": TEXT, "action": TEXT})),
        "notes": connection(search_notes=(("read",), {"customer": TEXT}), delete_notes=((), {"customer": TEXT})),
        "payments": connection(
            refund=(("money",), {"amount": {"type": "number"}, "currency": TEXT, "card_number": TEXT})
        ),
    }
)


@pytest.fixture(scope="module")
def policies() -> PolicySet:
    return PolicySet.load({path.name: path.read_text() for path in POLICIES.glob("*.cedar")}, cedar_schema(CATALOG))


@pytest.fixture(scope="module")
def rules(policies: PolicySet) -> Rules:
    return prepare(CATALOG, policies)


def judge(rules: Rules, function: str, *groups: str, **arguments: Any) -> Verdict:
    return decide(
        rules,
        CallFacts(
            function=CATALOG.get(function),
            principal=Principal(id="agent", issuer="i", groups=groups or ("support-bots",)),
            arguments=arguments,
            view=arguments,
            findings=frozenset(),
            inspectable=True,
            session=SessionFacts(),
            now=NOW,
        ),
    )


def refund(amount: float) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD", "card_number": "4111111111111111"}


def test_they_validate_strictly(policies: PolicySet) -> None:
    assert policies.validate() == []
    assert untypable(CATALOG) == []
    assert len(policies) > 0


def test_reading_a_customer(rules: Rules) -> None:
    verdict = judge(rules, "crm.read_customer", id="7")
    assert (verdict.outcome, verdict.policies) == ("allowed", ("agents-read-customers",))
    assert judge(rules, "crm.read_customer", "finance", id="7").code == "not_permitted"


def test_notes(rules: Rules) -> None:
    assert judge(rules, "notes.search_notes", customer="c-1001").policies == ("agents-search-notes",)
    assert judge(rules, "notes.delete_notes", customer="c-1001").code == "not_permitted"


def test_exports(rules: Rules) -> None:
    assert judge(rules, "crm.export_customers", limit=100).outcome == "allowed"
    verdict = judge(rules, "crm.export_customers", limit=5000)
    (requirement,) = verdict.requirements
    assert (verdict.outcome, requirement.approvers, requirement.quorum) == (
        "approval_required",
        ("data-protection",),
        1,
    )
    assert verdict.facts == {"/limit": 5000}


def test_deployments(rules: Rules) -> None:
    assert judge(rules, "deploys.start", service="web", environment="staging", version="1").outcome == "allowed"
    verdict = judge(rules, "deploys.start", service="web", environment="production", version="1")
    (requirement,) = verdict.requirements
    assert (verdict.outcome, requirement.approvers, requirement.quorum) == ("approval_required", ("sre",), 1)
    assert judge(rules, "deploys.start", service="web", environment="Production", version="1").code == "input_invalid"


def test_refunds(rules: Rules) -> None:
    assert judge(rules, "payments.refund", **refund(40)).policies == ("agents-refund",)
    assert judge(rules, "payments.refund", **refund(100)).outcome == "allowed"
    verdict = judge(rules, "payments.refund", **refund(100.01))
    (requirement,) = verdict.requirements
    assert (requirement.approvers, requirement.quorum) == (("finance",), 2)
    assert requirement.expires_at == NOW + timedelta(minutes=15)


def test_the_firewall(rules: Rules) -> None:
    verdict = judge(rules, "firewall.change", "support-bots", "sre", rule="1", action="open")
    assert (verdict.outcome, verdict.code) == ("denied", "forbidden")
    assert verdict.policies == ("firewall-is-never-for-agents",)


@pytest.mark.parametrize(
    ("group", "function"),
    [("sre", "deploys.start"), ("finance", "payments.refund"), ("data-protection", "crm.export_customers")],
)
def test_approvers_decide_on_their_own_kind_of_call_and_never_on_their_own(
    policies: PolicySet, group: str, function: str
) -> None:
    requester = Principal(id="agent", issuer="i", groups=("support-bots",), on_behalf_of="ann")
    for name in ("deploys.start", "payments.refund", "crm.export_customers", "crm.read_customer"):
        asked = CATALOG.get(name)
        assert asked is not None
        call = call_entity("c", asked, requester, [])
        for person, right in (("eve", name == function), ("agent", False), ("ann", False)):
            reviewer = Principal(id=person, issuer="i", groups=(group,))
            assert may(policies, "approve", reviewer, call, NOW).decision is right
        assert not may(policies, "approve", Principal(id="eve", issuer="i"), call, NOW).decision


def test_auditors_audit(policies: PolicySet) -> None:
    session = session_entity("s", "agent")
    auditor = Principal(id="aud", issuer="i", groups=("auditors",))
    assert may(policies, "audit", auditor, session, NOW).decision
    assert not may(policies, "audit", Principal(id="x", issuer="i", groups=("sre",)), session, NOW).decision
    assert not may(policies, "reveal", auditor, session, NOW).decision


def test_who_freezes_and_who_lifts(policies: PolicySet) -> None:
    def decided(group: str, kind: str, target: str | None) -> tuple[bool, bool]:
        person, scope = Principal(id="x", issuer="i", groups=(group,)), scope_entity(kind, target, CATALOG)
        freezes, lifts = (may(policies, right, person, scope, NOW).decision for right in RIGHTS)
        return freezes, lifts

    everything = (("everything", None), ("agent", "bot"), ("session", "s"), ("connection", "payments"))
    for kind, target in (*everything, ("function", "payments.refund")):
        assert decided("sre", kind, target) == (True, True)
        assert decided("support-bots", kind, target) == (False, False)
        assert decided("finance", kind, target) == (kind not in ("everything", "session"), False)
    assert decided("finance", "function", "deploys.start") == (False, False)
    assert decided("finance", "connection", "deploys") == (False, False)
