"""3. Judge a call: allowed, denied, or held back until people approve. Pure: policies and facts in, a verdict out.

Cedar is asked twice, with `context.approved` false and then true. What the first refuses and the second does not is
for people to decide, and the policies in between say for whom. Whatever cannot be judged is denied.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from callgate.cedar.entities import datetime_value
from callgate.cedar.facts import facts_of
from callgate.cedar.policies import Evaluation, PolicySet, Request
from callgate.cedar.schema import CONNECTION
from callgate.cedar.values import NoDecision, cedar_input
from callgate.inputs import InputSchema
from callgate.jsontext import pointer_token
from contracts.events import InputProblem, Requirement
from contracts.freezes import FROZEN
from contracts.functions import Bar, Catalog, Function
from contracts.identity import Principal
from contracts.model import JsonValue

Outcome = Literal["allowed", "denied", "approval_required"]
RequirementsMet = Callable[[tuple[Requirement, ...]], bool]

NO_POLICY_SET = "0" * 64
"""Stands for the digest where no policy set was loaded."""

_PROBLEMS_NAMED = 8
_FACT_LIMIT = 256
"""Characters of JSON that one fact may take in an event."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A function as policy knows it: with its JSON Schema, compiled once."""

    function: Function
    schema: InputSchema
    digest: str
    """Of the function's definition."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that calls are judged by at one moment; a reload replaces it whole."""

    policies: PolicySet | None
    functions: Mapping[str, Judged]
    barred: Mapping[str, Bar] = field(default_factory=dict)
    """Functions that may not be called whatever the policies say, and why."""

    def known(self, name: str) -> Function | None:
        judged = self.functions.get(name)
        return judged.function if judged is not None else None


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What the session did before this call."""

    calls: int = 0
    executed: int = 0
    denied: int = 0


@dataclass(frozen=True, slots=True)
class CallFacts:
    """A call to be judged. `arguments` are raw and never leave; `view` is their masked form."""

    function: Function | None
    principal: Principal
    arguments: JsonValue = field(repr=False)
    view: JsonValue
    findings: frozenset[str]
    """The entities that masking found, e.g. `CREDIT_CARD`."""
    inspectable: bool
    """False where masking could not inspect all of it."""
    session: SessionFacts
    now: datetime
    refusal: str = "uninspectable"
    """The code of the denial where it is not inspectable."""
    problems: tuple[InputProblem, ...] = ()
    """Where that is, as far as masking says."""
    barred: Bar | None = None
    """Why the function may not be called at this moment, e.g. since its definition changed and nobody accepted that."""
    freeze: str | None = None
    """The id of the freeze that stops it at this moment."""
    masked: frozenset[str] = frozenset()
    """JSON pointers to what masking replaced in the view."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, and what an event may say about it: codes and ids of ours, and values of the masked view."""

    outcome: Outcome
    code: str
    policy_set: str
    policies: tuple[str, ...] = ()
    """The `@id`s that decided (of failing policies where the code is `policy_error`)."""
    requirements: tuple[Requirement, ...] = ()
    """All of them must be met; the earliest expiry counts."""
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    """JSON pointer into the arguments → masked value, for what the deciding policies read."""
    problems: tuple[InputProblem, ...] = ()
    freeze: str | None = None
    """The id of the one that stops it, where that is why it is denied."""


def prepare(catalog: Catalog, policies: PolicySet | None) -> Rules:
    """Compile the functions' schemas. `ConfigurationError` names a function whose JSON Schema is none."""
    known = catalog.snapshot
    functions = {one.name: Judged(one, InputSchema(one), known.digest_of(one.name)) for one in known}
    return Rules(policies, functions, known.barred)


def decide(rules: Rules, facts: CallFacts) -> Verdict:
    """The first judgement."""
    try:
        policies, (first,) = _evaluate(rules, facts, approved=(False,))
        if first.decision:
            return _verdict(policies, facts, "allowed", "permitted", first.reasons)
        policies, (second,) = _evaluate(rules, facts, approved=(True,))
    except _Denial as denial:
        return denial.verdict(rules)
    if not second.decision:
        return _refusal(policies, facts, second)
    deciding = _held_back_by(first, second)
    requirements = _requirements(policies, deciding, facts.now)
    if not requirements:
        return _verdict(policies, facts, "denied", "no_approvers", deciding)
    return _verdict(policies, facts, "approval_required", "approval_required", deciding, requirements)


def decide_amended(rules: Rules, facts: CallFacts, asked: Sequence[Requirement], asked_at: datetime) -> Verdict:
    """The judgement of arguments that a person changed: never allowed on their word alone.

    Where the policies would let them pass, whoever was `asked` at `asked_at` is asked again, for as long as then.
    """
    verdict = decide(rules, facts)
    if verdict.outcome != "allowed" or rules.policies is None:
        return verdict
    requirements = tuple(_renewed(requirement, facts.now - asked_at) for requirement in asked)
    policies = tuple(sorted({name for requirement in requirements for name in requirement.policies}))
    standing = tuple(name for name in policies if name in rules.policies.policies)
    used = _facts_used(rules.policies, (*verdict.policies, *standing), facts.view)
    return replace(
        verdict,
        outcome="approval_required",
        code="amended",
        policies=policies,
        requirements=requirements,
        facts=used,
    )


def decide_approved(rules: Rules, facts: CallFacts, requirements_met: RequirementsMet, asked_at: datetime) -> Verdict:
    """The judgement after approval, under the policies of this moment: allowed or denied, never held back again.

    `requirements_met` says whether the approvals given cover what today's policies demand of people who were asked at
    `asked_at`: from then on the time runs after which a second group may approve.
    """
    try:
        policies, (first, second) = _evaluate(rules, facts, approved=(False, True))
    except _Denial as denial:
        return denial.verdict(rules)
    if not second.decision:
        return _refusal(policies, facts, second)
    if first.decision:
        return _verdict(policies, facts, "allowed", "permitted", second.reasons)
    deciding = _held_back_by(first, second)
    requirements = _requirements(policies, deciding, asked_at)
    if not requirements:
        return _verdict(policies, facts, "denied", "no_approvers", deciding)
    if not requirements_met(requirements):
        return _verdict(policies, facts, "denied", "approval_insufficient", deciding, requirements)
    decided = tuple(sorted({*deciding, *second.reasons}))
    return _verdict(policies, facts, "allowed", "approved", decided, requirements)


def decide_granted(rules: Rules, facts: CallFacts) -> Verdict:
    """The judgement of a call that would wait for people and that a grant covers: as if they had approved it."""
    return decide_approved(rules, facts, lambda _: True, facts.now)


def covers(rules: Rules, facts: CallFacts, grant: PolicySet) -> bool:
    """Whether the conditions of a grant hold for these arguments."""
    try:
        judged = rules.functions.get(facts.function.name) if facts.function else None
        if judged is None or not facts.inspectable:
            return False
        requests = [_request(judged, facts, context) for context in _contexts(judged, facts, (True,))]
        entities = grant.identity(facts.principal)
    except (_Denial, ValueError):
        return False
    return all(evaluation.decision for evaluation in grant.evaluate(requests, entities))


class _Denial(Exception):
    """No evaluation, or none that counts. It carries no text from elsewhere, and no cause."""

    def __init__(
        self,
        code: str,
        policies: tuple[str, ...] = (),
        problems: tuple[InputProblem, ...] = (),
        freeze: str | None = None,
    ) -> None:
        super().__init__(code)
        self.code, self.policies, self.problems, self.freeze = code, policies, problems, freeze

    def verdict(self, rules: Rules) -> Verdict:
        digest = rules.policies.digest if rules.policies else NO_POLICY_SET
        return Verdict("denied", self.code, digest, self.policies, problems=self.problems, freeze=self.freeze)


def _evaluate(rules: Rules, facts: CallFacts, approved: tuple[bool, ...]) -> tuple[PolicySet, tuple[Evaluation, ...]]:
    """The passes asked for, after everything that must hold before Cedar is asked. Fails closed by `_Denial`."""
    if facts.freeze is not None:
        raise _Denial(FROZEN, freeze=facts.freeze)
    policies = rules.policies
    if policies is None or not len(policies):
        raise _Denial("no_policy")
    if facts.barred is not None:
        raise _Denial(facts.barred)
    judged = rules.functions.get(facts.function.name) if facts.function else None
    if judged is None or judged.function != facts.function:
        raise _Denial("unknown_function")
    if not facts.inspectable:
        raise _Denial(facts.refusal, problems=facts.problems)
    _check_input(judged, facts.arguments)
    requests = [_request(judged, facts, context) for context in _contexts(judged, facts, approved)]
    try:
        entities = policies.identity(facts.principal)
    except ValueError:
        raise _Denial("principal_invalid") from None
    evaluations = tuple(policies.evaluate(requests, entities))
    failed = tuple(sorted({name for evaluation in evaluations for name in evaluation.errors}))
    if failed:
        raise _Denial("policy_error", failed)
    if any(evaluation.refused for evaluation in evaluations):
        raise _Denial("request_refused")
    return policies, evaluations


def _check_input(judged: Judged, arguments: JsonValue) -> None:
    """JSON Schema first: it knows more (patterns, bounds) than Cedar's types. Its messages quote values; not ours."""
    if not judged.schema.takes(arguments):
        raise _Denial("input_invalid", problems=judged.schema.problems(arguments, _PROBLEMS_NAMED))


def _contexts(judged: Judged, facts: CallFacts, approved: tuple[bool, ...]) -> tuple[str, ...]:
    """The contexts of the passes, which differ in `approved` alone."""
    try:
        context: dict[str, Any] = {
            "input": cedar_input(judged.schema.shape, facts.arguments),
            "facts": facts_of(judged.schema.shape, [facts.arguments]),
        }
    except NoDecision as refusal:
        raise _Denial(refusal.code, problems=(InputProblem(pointer=refusal.pointer, keyword=refusal.code),)) from None
    context["findings"] = sorted(facts.findings)
    context["session"] = {
        "calls": facts.session.calls,
        "executed": facts.session.executed,
        "denied": facts.session.denied,
    }
    context["now"] = datetime_value(facts.now)
    shared = json.dumps(context)[:-1]
    return tuple(f'{shared}, "approved": {json.dumps(yes)}}}' for yes in approved)


def _request(judged: Judged, facts: CallFacts, context: str) -> Request:
    return Request(facts.principal.id, judged.function.name, (CONNECTION, judged.function.connection), context)


def _held_back_by(first: Evaluation, second: Evaluation) -> tuple[str, ...]:
    """The forbids that approval lifts, or, where a permit was missing, the permits that it brings."""
    return tuple(name for name in first.reasons if name not in second.reasons) or second.reasons


def _requirements(policies: PolicySet, deciding: tuple[str, ...], asked_at: datetime) -> tuple[Requirement, ...]:
    """One for each deciding policy; none at all where one of them names nobody who could approve."""
    approvals = [(name, policies.policies[name].approval) for name in deciding]
    requirements = [approval.requirement(name, asked_at) for name, approval in approvals if approval is not None]
    return tuple(requirements) if len(requirements) == len(deciding) else ()


def _renewed(requirement: Requirement, later: timedelta) -> Requirement:
    """The same, asked that much later."""
    times: dict[str, Any] = {"expires_at": requirement.expires_at + later}
    if requirement.remind_at is not None:
        times["remind_at"] = requirement.remind_at + later
    if requirement.escalation is not None:
        escalation = requirement.escalation
        times["escalation"] = escalation.model_copy(update={"at": escalation.at + later})
    return requirement.model_copy(update=times)


def _refusal(policies: PolicySet, facts: CallFacts, evaluation: Evaluation) -> Verdict:
    """A denial that no approval can lift: by the forbids that remain, or because no policy permits the call."""
    code = "forbidden" if evaluation.reasons else "not_permitted"
    return _verdict(policies, facts, "denied", code, evaluation.reasons)


def _verdict(
    policies: PolicySet,
    facts: CallFacts,
    outcome: Outcome,
    code: str,
    deciding: tuple[str, ...],
    requirements: tuple[Requirement, ...] = (),
) -> Verdict:
    return Verdict(outcome, code, policies.digest, deciding, requirements, _facts_used(policies, deciding, facts.view))


def _facts_used(policies: PolicySet, deciding: tuple[str, ...], view: JsonValue) -> dict[str, JsonValue]:
    """What the deciding policies read of the input, as the masked view shows it; absent there, absent here."""
    used: dict[str, JsonValue] = {}
    for path in sorted({path for name in deciding for path in policies.policies[name].reads}):
        if path and path[0] != "input":
            continue
        steps = path[1:]  # `()` is the whole context, and so the whole input
        found, value = _look_up(view, steps)
        if found:
            used["".join(pointer_token(step) for step in steps)] = _brief(value)
    return used


def _look_up(view: JsonValue, steps: tuple[str, ...]) -> tuple[bool, JsonValue]:
    for step in steps:
        if not isinstance(view, dict) or step not in view:
            return False, None
        view = view[step]
    return True, view


def _brief(value: JsonValue) -> JsonValue:
    """An event must stay small: what is longer is cut off, or only counted."""
    if isinstance(value, str):
        return value if len(value) <= _FACT_LIMIT else value[: _FACT_LIMIT - 1] + "…"
    if isinstance(value, dict | list) and len(json.dumps(value)) > _FACT_LIMIT:
        return f"({len(value)} {'members' if isinstance(value, dict) else 'elements'})"
    return value
