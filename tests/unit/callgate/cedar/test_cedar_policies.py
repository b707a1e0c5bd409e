"""Policy sets: what loads, what is refused with file and line, and what an evaluation tells."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callgate.cedar.entities import call_entity, session_entity
from callgate.cedar.people import may
from callgate.cedar.policies import InvalidPolicies, PolicySet, Request, digest_of
from callgate.cedar.schema import cedar_schema
from callgate.cedar.source import statements
from callgate.errors import ConfigurationError
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from contracts.identity import Principal

NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
CARD = "4111111111111111"
INPUT = {
    "type": "object",
    "properties": {"card": {"type": "string"}, "amount": {"type": "number"}, "who": {"type": "string"}},
}
CATALOG = Catalog(
    {
        "pay": HttpConnection(
            base_url="http://127.0.0.1:1", functions={"refund": FunctionSpec(path="/r", input=INPUT, tags=("money",))}
        )
    }
)
SCHEMA = cedar_schema(CATALOG)


def load(text: str, **more: str) -> PolicySet:
    return PolicySet.load({"a.cedar": text} | {f"{name}.cedar": body for name, body in more.items()}, SCHEMA)


def refusals(text: str, **more: str) -> list[str]:
    with pytest.raises(InvalidPolicies) as refused:
        load(text, **more)
    assert refused.value.code == "invalid_policies"
    return [str(problem) for problem in refused.value.problems]


def request(action: str = "pay.refund", **input_: Any) -> Request:
    context = {
        "input": input_,
        "facts": {},
        "findings": [],
        "approved": False,
        "session": {"calls": 0, "executed": 0, "denied": 0},
        "now": {"__extn": {"fn": "datetime", "arg": "2026-01-31T12:00:00.000Z"}},
    }
    return Request("bot", action, ("Connection", "pay"), json.dumps(context))


def test_annotations() -> None:
    policies = load(
        '@id("a") @approvers("sre, security") @quorum("2") @expires("90s") @reason("why") @x("y")\n'
        "forbid(principal, action, resource);\n"
        '\n// a comment; with "quotes\n@id("b")\npermit(principal, action, resource) when { "a;//b" == "\\"" };',
    )
    a, b = policies.policies["a"], policies.policies["b"]
    assert a.approval is not None
    assert (a.approval.approvers, a.approval.quorum, a.approval.each) == (("sre", "security"), 2, False)
    assert (a.effect, a.approval.expires) == ("forbid", timedelta(seconds=90))
    assert (a.reason, a.annotations["x"], a.file, a.line) == ("why", "y", "a.cedar", 1)
    assert (b.effect, b.approval, b.line) == ("permit", None, 5)


@pytest.mark.parametrize(
    ("annotation", "part"),
    [
        ('@approvers("g") @expires("15")', "@expires"),
        ('@approvers("g") @expires("0m")', "@expires"),
        ('@approvers("g") @expires("400d")', "@expires"),
        ('@approvers("g") @expires("PT5M")', "@expires"),
        ('@approvers("g") @quorum("0")', "@quorum"),
        ('@approvers("g") @quorum("two")', "@quorum"),
        ('@approvers("g") @quorum("٣")', "@quorum"),
        ('@approvers("sre,,x")', "@approvers"),
        ('@approvers("")', "@approvers"),
        ('@quorum("2")', "@quorum says nothing without @approvers"),
        ('@expires("2m") @break_glass("x")', "@expires and @break_glass say nothing without @approvers"),
        ('@approvers("g") @quorum("two each")', '@quorum("2 each")'),
        ('@approvers("g") @quorum("0 each")', "@quorum"),
        ('@approvers("g") @quorum("2each")', "@quorum"),
        ('@approvers("g") @quorum("2 each\\n")', "@quorum"),
        ('@approvers("g") @rejections("0")', "@rejections"),
        ('@approvers("g") @rejections("majority")', "@rejections"),
        ('@approvers("g") @expires("10m") @remind("10m")', "@remind"),
        ('@approvers("g") @remind("soon")', "@remind"),
        ('@approvers("g") @escalate("leads")', "@escalate"),
        ('@approvers("g") @escalate("10m")', "@escalate"),
        ('@approvers("g") @escalate(",10m")', "@escalate"),
        ('@approvers("g") @escalate("leads,2h")', "@escalate"),
        ('@approvers("g") @escalate("g,10m")', "from the start"),
        ('@approvers("g") @justification("yes")', "@justification"),
        ('@approvers("g") @reason("required")', '@justification("required")'),
        ('@approvers("g") @break_glass("a,,b")', "@break_glass"),
        ('@approvers("g") @quorom("2")', "did you mean @quorum?"),
        ('@approvers("g") @breakglass("x")', "did you mean @break_glass?"),
        ('@approver("g")', "did you mean @approvers?"),
    ],
)
def test_annotations_that_say_nothing_are_refused(annotation: str, part: str) -> None:
    (refused,) = refusals(f'\n@id("a") {annotation}\nforbid(principal, action, resource);')
    assert refused.startswith("a.cedar:2 [a] ")
    assert part in refused


def test_a_policy_needs_an_id_of_its_own() -> None:
    (missing,) = refusals('@id("a") permit(principal, action, resource);\n\npermit(principal, action, resource);')
    assert missing.startswith("a.cedar:3 has no @id")
    (bare,) = refusals("@id permit(principal, action, resource);")
    assert "has no @id" in bare
    (odd,) = refusals('@id("a `b`") permit(principal, action, resource);')
    assert "letters" in odd
    (twice,) = refusals(
        '@id("a") permit(principal, action, resource);', b='\n@id("a") forbid(principal, action, resource);'
    )
    assert twice == 'b.cedar:2 [a] @id("a") is taken by a.cedar:1'


def test_what_does_not_parse_names_file_and_line() -> None:
    (refused,) = refusals('@id("a") permit(principal, action, resource);\n@id("b")\npermit(principal, action);', b="")
    assert refused.startswith("a.cedar:2 does not parse")
    (open_end,) = refusals('@id("a") permit(principal, action, resource)')
    assert open_end.startswith("a.cedar:1:45 does not parse")


def test_a_template_is_refused() -> None:
    (refused,) = refusals('@id("a") permit(principal == ?principal, action, resource);')
    assert "templates" in refused


def test_ids_keep_to_their_policies_across_files_and_beyond_ten() -> None:
    text = "".join(
        f'@id("p{n}") {"permit" if n % 2 else "forbid"}(principal, action, resource) when {{ context.input has who && '
        f'context.input.who == "w{n}" }};\n'
        for n in range(25)
    )
    policies = load(text, b='@id("all") permit(principal, action, resource);', c=text.replace('@id("', '@id("c-'))
    agent = policies.agent("bot", [])
    for n in range(25):
        (evaluation,) = policies.evaluate([request(who=f"w{n}")], agent)
        assert evaluation.reasons == (("all", f"c-p{n}", f"p{n}") if n % 2 else (f"c-p{n}", f"p{n}"))
        assert evaluation.decision is bool(n % 2)
        assert policies.policies[f"c-p{n}"].line == n + 1


def test_validation_names_policy_file_and_line() -> None:
    good = '@id("good") permit(principal, action == Action::"pay.refund", resource);\n'
    bad = '@id("bad") permit(principal, action == Action::"pay.refund", resource) when { context.input.amonut };'
    (problem,) = load(good, b="\n" + bad).validate()
    assert (problem.policy, problem.file, problem.line) == ("bad", "b.cedar", 2)
    assert "amonut" in problem.message
    assert "policy1" not in problem.message


def test_the_digest_is_of_names_and_texts() -> None:
    text = '@id("a") permit(principal, action, resource);'
    assert load(text).digest == digest_of({"a.cedar": text})
    assert digest_of({"a": "x", "b": "y"}) == digest_of({"b": "y", "a": "x"})
    assert len({digest_of({"a": "xy"}), digest_of({"ax": "y"}), digest_of({"a": "x", "b": "y"}), digest_of({})}) == 4


@pytest.mark.parametrize(
    ("condition", "reads", "session"),
    [
        ("context.session.calls > 3", {("session", "calls")}, True),
        ('context["session"].calls > 3', {("session", "calls")}, True),
        ('context.input.who == "session"', {("input", "who")}, False),
        ("context.input has who", {("input", "who")}, False),
        ('context.input has who && context.input.who like "a*"', {("input", "who")}, False),
        ("context has input && {session: 1}.session == 1", set(), False),
        ("(if context.approved then context else context).approved", {(), ("approved",)}, True),
        ("[context.input.who].containsAny([context.input.card])", {("input", "who"), ("input", "card")}, False),
    ],
)
def test_what_a_policy_reads(condition: str, reads: set[tuple[str, ...]], session: bool) -> None:
    policies = load(f'@id("a") permit(principal, action, resource) when {{ {condition} }};')
    assert policies.policies["a"].reads == reads
    assert policies.mentions_session is session


def test_a_failing_policy_is_named_and_nothing_is_allowed() -> None:
    policies = load(
        '@id("all") permit(principal, action, resource);\n'
        '@id("fails") forbid(principal, action == Action::"pay.refund", resource)\n'
        'when { context.input has card && decimal(context.input.card).greaterThan(decimal("1.0")) };'
    )
    fails, works = policies.evaluate([request(card=CARD), request()], policies.agent("bot", []))
    assert (fails.decision, fails.errors, fails.refused) == (False, ("fails",), False)
    assert CARD not in repr(fails)
    assert (works.decision, works.reasons, works.errors) == (True, ("all",), ())


def test_a_request_beside_the_schema_is_refused() -> None:
    policies = load('@id("all") permit(principal, action, resource);')
    agent = policies.agent("bot", [])
    for odd in (request(unknown=CARD), request(amount=3), request(action="pay.nothing"), request(who="\ud800")):
        (evaluation,) = policies.evaluate([odd], agent)
        assert (evaluation.decision, evaluation.refused) == (False, True)
        assert CARD not in repr(evaluation)


def test_tags_and_groups_reach_the_hierarchies() -> None:
    policies = load(
        '@id("all") permit(principal in Group::"bots", action in Action::"call", resource);'
        '@id("no-money") forbid(principal in Group::"poor", action in Action::"tag:money", resource);'
    )
    (rich,) = policies.evaluate([request()], policies.agent("bot", ["bots"]))
    (poor,) = policies.evaluate([request()], policies.agent("bot", ["poor", "bots"]))
    (stranger,) = policies.evaluate([request()], policies.agent("bot", []))
    assert (rich.decision, rich.reasons) == (True, ("all",))
    assert (poor.decision, poor.reasons) == (False, ("no-money",))
    assert (stranger.decision, stranger.reasons) == (False, ())


def test_what_is_no_text_is_no_principal() -> None:
    policies = load('@id("all") permit(principal, action, resource);')
    with pytest.raises(ValueError, match="do not fit") as refused:
        policies.agent("\ud800" + CARD, [])
    assert CARD not in str(refused.value)


def test_a_schema_that_does_not_parse_is_a_configuration_error() -> None:
    for broken in ("entity", {"": {"entityTypes": 3, "actions": {}}}):
        with pytest.raises(ConfigurationError, match="invalid_cedar_schema"):
            PolicySet.load({}, broken)
    text = 'entity Agent; entity Connection; action "a" appliesTo { principal: Agent, resource: Connection };'
    assert PolicySet.load({"a": '@id("a") permit(principal, action == Action::"a", resource);'}, text).validate() == []


def test_an_empty_set_allows_nothing() -> None:
    policies = PolicySet.load({}, SCHEMA)
    (evaluation,) = policies.evaluate([request()], policies.agent("bot", []))
    assert (len(policies), evaluation.decision, evaluation.reasons, evaluation.errors) == (0, False, (), ())


def test_rights_of_people() -> None:
    policies = load(
        '@id("approve") permit(principal in Group::"finance", action == Action::"approve", resource)\n'
        'when { resource.tags.contains("money") && resource.findings.contains("US_SSN")\n'
        '       && resource.requester_groups.contains("bots") && context.now < datetime("2026-02-01") }\n'
        "unless { principal == resource.requester || (resource has on_behalf_of && principal == "
        "resource.on_behalf_of) };\n"
        '@id("audit") permit(principal, action == Action::"audit", resource)\n'
        "when { resource has owner && resource.owner == principal };"
    )
    assert policies.validate() == []
    function = CATALOG.get("pay.refund")
    assert function is not None

    def person(name: str, *groups: str) -> Principal:
        return Principal(id=name, issuer="i", groups=groups)

    requester = Principal(id="bot", issuer="i", groups=("bots",), on_behalf_of="ann")
    call = call_entity("c", function, requester, ["US_SSN"])
    assert may(policies, "approve", person("eve", "finance"), call, NOW).reasons == ("approve",)
    assert may(policies, "approve", person("eve", "finance"), call, NOW).decision
    for other, when in (
        (person("eve"), NOW),
        (person("bot", "finance"), NOW),
        (person("ann", "finance"), NOW),
        (person("eve", "finance"), NOW + timedelta(days=1)),
        (person("\ud800", "finance"), NOW),
    ):
        assert not may(policies, "approve", other, call, when).decision
    assert may(policies, "audit", person("ann"), session_entity("s", "ann"), NOW).decision
    assert not may(policies, "audit", person("eve"), session_entity("s", "ann"), NOW).decision
    assert not may(policies, "audit", person("eve"), session_entity("s", None), NOW).decision
    assert not may(policies, "reveal", person("ann"), session_entity("s", "ann"), NOW).decision


def test_statements_begin_where_their_first_token_does() -> None:
    text = '// "\n\n@id("a;") // ;\npermit(principal, action, resource);\n\n  forbid(x);// end\n'
    assert [(statement.line, statement.text[:4]) for statement in statements(text)] == [(3, "@id("), (6, "forb")]
    assert statements("  // nothing\n") == []


# What policies see of who asks


@pytest.mark.parametrize(
    ("condition", "plain", "delegated"),
    [
        ("true", True, True),
        ("principal has on_behalf_of", False, True),
        ('principal has on_behalf_of && principal.on_behalf_of == Agent::"ursula"', False, True),
        ('principal has on_behalf_of && principal.on_behalf_of == Agent::"uwe"', False, False),
        ('principal has actors && principal.actors.contains(Agent::"router")', False, True),
        ('principal has actors && principal.actors.contains(Agent::"other")', False, False),
        ('principal has bound_by && principal.bound_by == "dpop"', False, True),
    ],
)
def test_policies_see_delegation_and_how_a_token_was_proved(condition: str, plain: bool, delegated: bool) -> None:
    policies = load(f'@id("a") permit(principal, action == Action::"pay.refund", resource) when {{ {condition} }};')
    assert policies.validate() == []
    bot = Principal(id="bot", issuer="https://issuer.test", groups=("support",))
    acting = bot.model_copy(update={"on_behalf_of": "ursula", "actors": ("bot", "router"), "bound_by": "dpop"})
    answers = [policies.evaluate([request()], policies.identity(who))[0].decision for who in (bot, acting)]
    assert answers == [plain, delegated]


# What is surely denied


def surely(
    policies: PolicySet, groups: tuple[str, ...] = ("support",), who: str = "bot", action: str = "pay.refund"
) -> bool:
    principal = Principal.model_construct(id=who, issuer="https://issuer.test", groups=groups)
    return policies.surely_denies(principal, action, ("Connection", "pay"))


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("", True),
        ('@id("a") permit(principal, action, resource);', False),
        ('@id("a") permit(principal in Group::"support", action == Action::"pay.refund", resource);', False),
        ('@id("a") permit(principal in Group::"finance", action == Action::"pay.refund", resource);', True),
        ('@id("a") permit(principal, action in Action::"tag:money", resource);', False),
        ('@id("a") permit(principal, action == Action::"approve", resource);', True),
        ('@id("a") permit(principal, action, resource) when { context.approved };', False),
        ('@id("a") permit(principal, action, resource) when { context.input.amount < 5 };', False),
        ('@id("a") permit(principal, action, resource) when { 1 > 2 };', True),
        ('@id("a") permit(principal, action, resource);\n@id("b") forbid(principal, action, resource);', True),
        (
            '@id("a") permit(principal, action, resource);\n'
            '@id("b") forbid(principal, action, resource) unless { context.approved };',
            False,
        ),
        (
            '@id("a") permit(principal, action, resource);\n'
            '@id("b") forbid(principal in Group::"support", action, resource) when { 1 < 2 };',
            True,
        ),
    ],
)
def test_what_no_arguments_and_no_approval_could_lift_is_surely_denied(text: str, denied: bool) -> None:
    assert surely(load(text)) is denied


@pytest.mark.parametrize("who", ['a"b\\c', "zoë", "a\nb"])
def test_any_name_can_be_asked_about(who: str) -> None:
    uid = json.dumps(who, ensure_ascii=False)
    policies = load(f'@id("a") permit(principal == Agent::{uid}, action, resource);')
    assert not surely(policies, who=who)
    assert surely(policies, who="another")


@pytest.mark.parametrize(("who", "action"), [("a\ud800", "pay.refund"), ("bot", "pay.nothing"), ("bot", "unknown")])
def test_what_cannot_be_told_counts_as_denied(who: str, action: str) -> None:
    assert surely(load('@id("a") permit(principal, action, resource);'), who=who, action=action)
