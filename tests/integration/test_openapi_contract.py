"""/openapi.json against what the doors of all services do: Schemathesis makes requests that fit it, and some that do
not, as each kind of person and as nobody. No answer is a fault of ours, and each is as the document says."""

import asyncio
import collections
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from doors import bearer
from governed_scene import PAY, PAY_ROUTE, POLICIES, Governed, eventually, governed
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from contracts.subjects import CallRef

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 3
"""Of each operation, person and kind of request."""
PEOPLE = {"agent": "support-bot", "reviewer": "fay", "auditor": "ada"}
RIGHTS = """
@id("auditors-audit") permit(principal in Group::"auditors", action == Action::"audit", resource);
@id("finance-freezes") permit(principal in Group::"finance",
  action in [Action::"freeze", Action::"unfreeze", Action::"revoke", Action::"unrevoke"], resource);
"""
NO_BODY = {"GET /health", "GET /metrics"}
"""Operations without anything to send, for which there is no request that does not fit."""


@dataclass
class Contract:
    """A deployment in which something has happened, and what is known of it."""

    url: str
    heads: Mapping[str, Mapping[str, str]]
    """Who asks: their headers."""
    paths: Mapping[str, Sequence[str]]
    """Values of path parameters that lead somewhere, by their names, or by operation."""
    bodies: Mapping[str, Sequence[Any]]
    """Bodies that say something, by operation."""
    statuses: dict[str, collections.Counter[int]] = field(default_factory=dict)
    failures: dict[tuple[str, int, str], str] = field(default_factory=dict)

    def try_all(self) -> None:
        """Asks every operation as everybody. In a thread, since Schemathesis waits for each answer."""
        schema = schemathesis.openapi.from_url(f"{self.url}/openapi.json")
        operations = [result.ok() for result in schema.get_all_operations()]
        self.statuses = {operation.label: collections.Counter() for operation in operations}
        for operation in operations:
            for head in self.heads.values():
                with requests.Session() as session:
                    self._try(operation, GenerationMode.POSITIVE, head, session)
                    if operation.label not in NO_BODY and head:
                        self._try(operation, GenerationMode.NEGATIVE, head, session)

    def _try(self, operation: Any, mode: GenerationMode, head: Mapping[str, str], session: requests.Session) -> None:
        known = self._known(operation)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            self._ask(case, head, session)
            paths, body = next(known)
            if mode is GenerationMode.POSITIVE and (paths or body is not None):
                case.path_parameters.update(paths)
                if body is not None:
                    case.body = body
                self._ask(case, head, session)

        one()

    def _known(self, operation: Any) -> Iterator[tuple[dict[str, str], Any]]:
        """Path parameters and bodies that lead somewhere, over and over."""
        names = re.findall(r"{(\w+)}", operation.path)
        paths = {name: self.paths.get(operation.label) or self.paths.get(name, [""]) for name in names}
        paths = {name: values for name, values in paths.items() if values != [""]}
        bodies = self.bodies.get(operation.label, [None])
        number = 0
        while True:
            yield {name: values[number % len(values)] for name, values in paths.items()}, bodies[number % len(bodies)]
            number += 1

    def _ask(self, case: Any, head: Mapping[str, str], session: requests.Session) -> None:
        response = case.call(base_url=self.url, headers=dict(head), session=session, timeout=30)
        self.statuses[case.operation.label][response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS, headers=dict(head))
        except FailureGroup as group:
            for failure in group.exceptions:
                place = case.operation.label, response.status_code, type(failure).__name__
                self.failures.setdefault(place, f"{failure}\n{response.text[:500]}")


@pytest.fixture
async def contract(tmp_path: Path) -> AsyncIterator[Contract]:
    async with governed(tmp_path, ingress={"wait": 0.1, "max_wait": 20}) as scene:
        await scene.use_policies(POLICIES + RIGHTS)
        yield await happened(scene)


async def happened(scene: Governed) -> Contract:
    """Calls that are done, denied or wait, one of which nobody knows what came, a freeze, a grant and a revocation."""

    async def made(path: str, body: Any) -> str:
        async def permitted() -> tuple[int, Any] | None:
            """Approval takes the policies over within a second of their publication."""
            answer = await scene.request("POST", path, "fay", json=body)
            return None if answer[0] == 403 else answer

        status, document = await eventually(permitted)
        assert status == 201, document
        return str(document["id"])

    done = await scene.call("shop.look", id="c_1")
    denied = await scene.call("shop.wall", rule="any", action="open")
    waiting, amended, withdrawn = [await scene.call("shop.pay", wait=0, amount=500, **PAY) for _ in range(3)]
    asked = await scene.until(CallRef.parse(waiting["id"]), "approval_required")
    other = await scene.until(CallRef.parse(amended["id"]), "approval_required")
    freeze = {"scope": "function", "target": "shop.count", "reason": "a trial", "for": "1m"}
    grant = {"agent": "nobody-yet", "function": "shop.pay", "uses": 1, "for": "1m", "reason": "a trial"}
    revocation = {"scope": "subject", "target": "nobody-yet", "reason": "a trial", "for": "1m"}
    scene.misbehave(PAY_ROUTE, "drop_after")
    lost = await scene.call("shop.quick_pay", amount=5, **PAY)
    assert lost["status"] == "unknown"
    unknown = (await scene.chain(lost["id"])).chain[-1]
    look = {"function": "shop.look", "arguments": {"id": "c_1"}}
    function = {"name": "shop-look", "arguments": '{"id":"c_1"}'}
    patch = [{"op": "replace", "path": "/amount", "value": 300}]
    return Contract(
        url=scene.url,
        heads={who: bearer(scene.issuer, name) for who, name in PEOPLE.items()} | {"nobody": {}},
        paths={
            "call_id": [waiting["id"], lost["id"], done["id"], denied["id"]],
            "session_id": [done["session"], lost["session"]],
            "DELETE /v1/calls/{call_id}": [withdrawn["id"]],
            "POST /v1/approvals/{call_id}/votes": [waiting["id"]],
            "POST /v1/approvals/{call_id}/amendments": [amended["id"]],
            "GET /v1/outcomes/{call_id}": [lost["id"]],
            "POST /v1/outcomes/{call_id}/settlement": [lost["id"]],
            "freeze_id": [await made("/v1/freezes", freeze)],
            "grant_id": [await made("/v1/grants", grant)],
            "revocation_id": [await made("/v1/revocations", revocation)],
        },
        bodies={
            "POST /v1/calls": [look, {**look, "session": "contract"}, {"function": "shop.none", "arguments": {}}],
            "POST /v1/tool-calls/openai": [
                {"role": "assistant", "tool_calls": [{"id": "t1", "type": "function", "function": function}]}
            ],
            "POST /v1/tool-calls/anthropic": [
                {"content": [{"type": "tool_use", "id": "t1", "name": "shop-look", "input": {"id": "c_1"}}]}
            ],
            "POST /v1/approvals/{call_id}/amendments": [{"digest": other.digest, "patch": patch, "reason": "less"}],
            "POST /v1/approvals/{call_id}/votes": [{"decision": "approve", "digest": asked.digest}],
            "POST /v1/outcomes/{call_id}/settlement": [
                {"digest": unknown.digest, "outcome": "not_done", "reason": "the ledger has none"}
            ],
            "POST /v1/freezes": [freeze],
            "POST /v1/grants": [grant],
            "POST /v1/revocations": [revocation],
        },
    )


def without_a_schema(document: dict[str, Any]) -> list[str]:
    """The operations under /v1 whose success is not described."""
    return [
        f"{method} {path}"
        for path, operations in document["paths"].items()
        if path.startswith("/v1/")
        for method, operation in operations.items()
        if not any(
            content.get("schema")
            for status, answer in operation["responses"].items()
            if status.startswith("2")
            for content in answer.get("content", {}).values()
        )
    ]


async def test_every_answer_is_as_the_document_says(contract: Contract) -> None:
    document = await asyncio.to_thread(lambda: requests.get(f"{contract.url}/openapi.json", timeout=10).json())
    assert without_a_schema(document) == []
    await asyncio.to_thread(contract.try_all)
    assert not contract.failures, "\n\n".join(f"{place}: {text}" for place, text in contract.failures.items())
    for label in contract.bodies:
        assert any(status < 300 for status in contract.statuses[label]), (label, contract.statuses[label])
