"""Policy sets: parsed once, named by their `@id`s, evaluated without ever repeating Cedar's error texts.

Cedar numbers policies by position; everybody else knows them by `@id`, which is therefore mandatory and unique.
What the annotations say of approval is `annotations.py`; `@reason("…")` says why in words.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self

import cedarpy

from callgate.cedar.annotations import Approval, BadAnnotation, approval_of
from callgate.cedar.source import context_reads, line_and_column, statements
from callgate.cedar.syntax import stumble
from callgate.errors import ConfigurationError
from contracts.identity import Principal
from contracts.model import JsonValue

Effect = Literal["permit", "forbid"]

UNKNOWN_POLICY = "unknown"
"""Stands for a policy that Cedar reported under no name of ours; whoever meets it must deny."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FAILED = re.compile(r"error while evaluating policy `(policy[0-9]+)`")
_AGENTS_KEPT = 4096


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """What is wrong with a policy, for its author: where, and Cedar's or our own words on the policy's text."""

    message: str
    policy: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return " ".join(part for part in (place, f"[{self.policy}]" if self.policy else "", self.message) if part)


class InvalidPolicies(ConfigurationError):
    """A policy set that cannot be loaded; `problems` says why, one by one."""

    def __init__(self, problems: Sequence[PolicyProblem]) -> None:
        super().__init__("invalid_policies", "; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy, with its annotations read."""

    id: str
    effect: Effect
    file: str
    line: int | None
    approval: Approval | None
    """What people must do where this policy holds a call back; None where nobody may approve it."""
    reason: str | None
    annotations: Mapping[str, str]
    actions: frozenset[str]
    """The actions that its scope names."""
    reads: frozenset[tuple[str, ...]]
    """The paths under `context` that its conditions read; `()` is the whole context."""


@dataclass(frozen=True, slots=True)
class Request:
    """A question to Cedar. `context` is JSON text in Cedar's format."""

    principal: str
    action: str
    resource: tuple[str, str]
    """Entity type and id."""
    context: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Cedar's answer, in our words. `decision` is True only for an Allow without a single failing policy."""

    decision: bool
    reasons: tuple[str, ...]
    """The `@id`s of the policies that decided: forbids of a Deny, permits of an Allow; none for a Deny by default."""
    errors: tuple[str, ...]
    """The `@id`s of the policies that failed to evaluate. Cedar alone would skip them, a failing forbid too."""
    refused: bool = False
    """The request itself does not fit the schema; no policy was evaluated."""


class PolicySet:
    """A parsed policy set with its schema. Make it with `load`; it is immutable, so a reload replaces it whole."""

    def __init__(self, files: Mapping[str, str], policies: Sequence[Policy], schema: cedarpy.Schema) -> None:
        self.policies: Mapping[str, Policy] = {policy.id: policy for policy in policies}
        self.digest = digest_of(files)
        self.mentions_session = any(not path or path[0] == "session" for policy in policies for path in policy.reads)
        """Whether any policy reads `context.session`."""
        self._text = _joined(files)
        self._ids = {f"policy{position}": policy.id for position, policy in enumerate(policies)}
        self._schema = schema
        self._parsed = cedarpy.PolicySet.from_str(self._text)
        # Cedar takes the action hierarchy (`action in Action::"tag:money"`) from the entities, and they have it from
        # the schema with which they are parsed: entities parsed without it would silently match no tag.
        self._actions = cedarpy.Entities.from_json_str("[]", schema)
        self._agent = lru_cache(maxsize=_AGENTS_KEPT)(self._agent_entities)

    @classmethod
    def load(cls, files: Mapping[str, str], schema: str | Mapping[str, JsonValue]) -> Self:
        """The policies of `{file name: text}`, under a Cedar schema (`cedar_schema`'s, or text in Cedar's syntax).

        `InvalidPolicies` where one does not parse, has no `@id` or one already taken, or annotations that say
        nothing; `ConfigurationError` where the schema does not parse. An empty set loads; it allows nothing.
        """
        problems: list[PolicyProblem] = []
        policies: list[Policy] = []
        for name in sorted(files):
            policies += _read_file(name, files[name], problems)
        problems += _duplicates(policies)
        if problems:
            raise InvalidPolicies(problems)
        return cls(files, policies, _schema_handle(schema))

    def validate(self) -> list[PolicyProblem]:
        """What Cedar's strict validation says against the schema; empty where all is well."""
        result = cedarpy.validate_policies(self._text, self._schema, release_gil=True)
        problems = [self._problem(error.policy_id, error.error) for error in result.errors]
        if not result.validation_passed and not problems:
            problems.append(PolicyProblem("does not validate"))
        return problems

    def evaluate(self, requests: Sequence[Request], entities: cedarpy.Entities) -> list[Evaluation]:
        """One evaluation for each request, in order. It raises nothing: what Cedar refuses is a denial."""
        batch = [
            {
                "principal": {"type": "Agent", "id": request.principal},
                "action": {"type": "Action", "id": request.action},
                "resource": {"type": request.resource[0], "id": request.resource[1]},
                "context": request.context,
            }
            for request in requests
        ]
        try:
            results = cedarpy.is_authorized_batch(batch, self._parsed, entities, self._schema)
        except ValueError:  # e.g. an id with a lone surrogate
            return [Evaluation(decision=False, reasons=(), errors=(), refused=True) for _ in requests]
        return [self._evaluation(result) for result in results]

    def surely_denies(self, principal: Principal, action: str, resource: tuple[str, str]) -> bool:
        """Whether every call of this kind would be denied, whatever its context: its arguments, approvals, the time.

        No decision about any call: Cedar offers partial evaluation as a preview. True as well where it cannot tell.
        """
        request = {
            "principal": _uid("Agent", principal.id),
            "action": _uid("Action", action),
            "resource": _uid(*resource),
        }
        try:
            entities = self.identity(principal)
            # Without a `context` it is unknown, and what depends on it stays open.
            result = cedarpy.is_authorized_partial(request, self._parsed, entities, self._schema)
        except ValueError:
            return True
        if result.decision is cedarpy.Decision.NoDecision:
            return not result.residuals  # without any, the question itself was refused
        return not result.allowed

    def agent(self, principal: str, groups: Sequence[str]) -> cedarpy.Entities:
        """The entities of a request by this principal; kept for the next one, since parsing them takes 20 µs.

        `ValueError` for what is no text; it quotes nothing.
        """
        return self._agent(principal, tuple(sorted(set(groups))), None, (), None)

    def identity(self, principal: Principal) -> cedarpy.Entities:
        """The same for a verified identity, with for whom it acts, through whom, and how its token was proved."""
        groups = tuple(sorted(set(principal.groups)))
        return self._agent(principal.id, groups, principal.on_behalf_of, principal.actors, principal.bound_by)

    def entities(self, *documents: JsonValue, base: cedarpy.Entities | None = None) -> cedarpy.Entities:
        """Entities in Cedar's JSON format (see `entities.py`), checked against the schema, on top of `base`."""
        try:
            return (base or self._actions).with_added_json_str(json.dumps(documents), self._schema)
        except ValueError:
            raise ValueError("these entities do not fit the schema") from None

    def __len__(self) -> int:
        return len(self.policies)

    def _agent_entities(
        self,
        principal: str,
        groups: tuple[str, ...],
        on_behalf_of: str | None,
        actors: tuple[str, ...],
        bound_by: str | None,
    ) -> cedarpy.Entities:
        attributes: dict[str, JsonValue] = {}
        if on_behalf_of is not None:
            attributes["on_behalf_of"] = {"__entity": _entity("Agent", on_behalf_of)}
        if actors:
            attributes["actors"] = [{"__entity": _entity("Agent", actor)} for actor in actors]
        if bound_by is not None:
            attributes["bound_by"] = bound_by
        return self.entities(
            {
                "uid": _entity("Agent", principal),
                "attrs": attributes,
                "parents": [_entity("Group", group) for group in groups],
            }
        )

    def _evaluation(self, result: cedarpy.AuthzResult) -> Evaluation:
        refused = result.decision is cedarpy.Decision.NoDecision
        errors = () if refused else tuple(self._failed(text) for text in result.diagnostics.errors)
        reasons = tuple(sorted(self._ids.get(name, UNKNOWN_POLICY) for name in result.diagnostics.reasons))
        allowed = result.allowed and not errors and UNKNOWN_POLICY not in reasons
        return Evaluation(allowed, reasons, tuple(sorted(set(errors))), refused)

    def _failed(self, text: str) -> str:
        """The policy that an error of Cedar's is about; the rest of the text quotes values and stops here."""
        match = _FAILED.match(text)
        return self._ids.get(match[1], UNKNOWN_POLICY) if match else UNKNOWN_POLICY

    def _problem(self, position: str, message: str) -> PolicyProblem:
        policy = self.policies.get(self._ids.get(position, ""))
        if policy is None:
            return PolicyProblem(message)
        return PolicyProblem(message.replace(f"`{position}`", f"`{policy.id}`"), policy.id, policy.file, policy.line)


def _entity(kind: str, name: str) -> JsonValue:
    """An entity's name in Cedar's JSON format."""
    return {"type": kind, "id": name}


def _uid(kind: str, name: str) -> str:
    """An entity's name in Cedar's syntax, whose escapes are JSON's for all that an identity may hold."""
    return f"{kind}::{json.dumps(name, ensure_ascii=False)}"


def digest_of(files: Mapping[str, str]) -> str:
    """SHA-256, in hex, of a policy set: its file names with their texts, in order of the names."""
    canonical = json.dumps(sorted(files.items()), separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _schema_handle(schema: str | Mapping[str, JsonValue]) -> cedarpy.Schema:
    try:
        if isinstance(schema, str):
            return cedarpy.Schema.from_str(schema, release_gil=True)
        return cedarpy.Schema.from_json_str(json.dumps(schema), release_gil=True)
    except ValueError as error:
        raise ConfigurationError("invalid_cedar_schema", str(error)) from None


def _joined(files: Mapping[str, str]) -> str:
    """All files as one text; each parses by itself, so none can run into the next."""
    return "\n".join(files[name] for name in sorted(files))


def _read_file(name: str, text: str, problems: list[PolicyProblem]) -> list[Policy]:
    places = statements(text)
    try:
        document = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        problems.append(_parse_problem(name, text, str(error)))
        return []
    if document["templates"]:
        problems.append(
            PolicyProblem("templates (?principal, ?resource) allow nothing; write the policy out", file=name)
        )
        return []
    parsed: Mapping[str, JsonValue] = document["staticPolicies"]
    lines = [place.line for place in places] if len(places) == len(parsed) else [None] * len(parsed)
    policies = []
    for position, line in enumerate(lines):
        try:
            policies.append(_policy(parsed[f"policy{position}"], name, line))
        except BadAnnotation as refusal:
            problems.append(PolicyProblem(refusal.message, refusal.policy, name, line))
    return policies


def _parse_problem(name: str, text: str, message: str) -> PolicyProblem:
    """Cedar's own error names no place, so find the first policy that does not parse by itself, and where in it."""
    for place in statements(text):
        found = stumble(place.text)
        if found is not None:
            line, column = place.line, None
            if found.offset is not None:
                line, column = line_and_column(text, place.begin + found.offset)
            return PolicyProblem(f"does not parse: {found.message}", file=name, line=line, column=column)
    return PolicyProblem(f"does not parse: {message}", file=name)


def _duplicates(policies: Sequence[Policy]) -> list[PolicyProblem]:
    first: dict[str, Policy] = {}
    problems = []
    for policy in policies:
        earlier = first.setdefault(policy.id, policy)
        if earlier is not policy:
            message = f'@id("{policy.id}") is taken by {earlier.file}:{earlier.line}'
            problems.append(PolicyProblem(message, policy.id, policy.file, policy.line))
    return problems


def _policy(parsed: JsonValue, file: str, line: int | None) -> Policy:
    annotations: Mapping[str, str] = parsed.get("annotations") or {}
    name = annotations.get("id")
    if not name:
        raise BadAnnotation('has no @id: write @id("a-name-of-its-own") before it')
    if not _ID.fullmatch(name):
        raise BadAnnotation(f"@id({json.dumps(name)}) may hold letters, digits, '.', '_' and '-' only, 128 at most")
    try:
        approval = approval_of(annotations)
    except BadAnnotation as refusal:
        raise BadAnnotation(refusal.message, name) from None
    return Policy(
        id=name,
        effect=parsed["effect"],
        file=file,
        line=line,
        approval=approval,
        reason=annotations.get("reason"),
        annotations=dict(annotations),
        actions=_actions_of(parsed["action"]),
        reads=context_reads(parsed),
    )


def _actions_of(scope: JsonValue) -> frozenset[str]:
    """Of a scope in Cedar's JSON format: `==` and `in` name entities, `All` none."""
    named = scope.get("entities") or ([scope["entity"]] if "entity" in scope else [])
    return frozenset(entity["id"] for entity in named)
