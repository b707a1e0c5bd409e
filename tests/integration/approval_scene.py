"""Calls that wait for people, put on a real log by the services that would: ingress, masking and policy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from deployment import Deployment, new_call, running_deployment
from doors import token_issuer, trusting

from callgate.cedar.policies import digest_of
from callgate.delivery import now
from callgate.ids import uuid7
from callgate.jsontext import dump
from callgate.log import Draft
from callgate.platform import Platform
from callgate.sealing import Place
from cli.dev_issuer import DevIssuer
from contracts.events import (
    Allowed,
    ApprovalRequired,
    ArgumentsAmended,
    ArgumentsMasked,
    EventData,
    ExecutionStarted,
    Finding,
    OutcomeUnknown,
    Recorded,
    Requested,
    Requirement,
)
from contracts.identity import Principal, Role
from contracts.model import JsonValue
from contracts.records import PolicySetPublished
from contracts.subjects import POLICY_SET_SUBJECT, CallRef

T = TypeVar("T")

CONNECTIONS = {
    "payments": {
        "base_url": "http://127.0.0.1:9",
        "functions": {
            "refund": {
                "path": "/refunds",
                "tags": ["money"],
                "input": {"type": "object", "properties": {"amount": {"type": "number"}}},
            },
            "change_iban": {"path": "/iban", "tags": ["money"]},
        },
    }
}
POLICIES = """
@id("large-refunds-need-finance") @approvers("finance") @quorum("2") @expires("15m")
@reason("Refunds above 100 are decided by two people in finance.")
forbid(principal, action == Action::"payments.refund", resource) unless { context.approved };

@id("finance-approves")
permit(principal in Group::"finance", action == Action::"approve", resource)
when { resource.tags.contains("money") };

@id("finance-settles")
permit(principal in Group::"finance", action == Action::"settle", resource)
when { resource.tags.contains("money") };

@id("never-what-holds-a-passport")
forbid(principal, action == Action::"approve", resource) when { resource.findings.contains("PASSPORT") };
"""
AGENT = Principal(id="bot", issuer="https://issuer.example", on_behalf_of="rosa", actors=("bot",))


def requirement(*approvers: str, quorum: int = 1, minutes: float = 15, at: datetime | None = None) -> Requirement:
    expires = at or now() + timedelta(minutes=minutes)
    return Requirement(
        policies=("large-refunds-need-finance",), approvers=approvers or ("finance",), quorum=quorum, expires_at=expires
    )


async def eventually(check: Callable[[], Awaitable[T | None]]) -> T:
    """What `check` gives once it gives something, for what tells of no event: a health check, a list over HTTP."""
    async with asyncio.timeout(20):
        while (found := await check()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return found


@dataclass(frozen=True, slots=True)
class Scene:
    """The other services, as far as an approval needs them."""

    here: Deployment
    issuer: DevIssuer
    ingress: Platform
    masking: Platform
    policy: Platform
    executor: Platform

    async def publish_policies(self, text: str = POLICIES) -> None:
        files = {"policies.cedar": text}
        data = PolicySetPublished(policy_set=digest_of(files), files=files)
        await self.policy.records.publish(POLICY_SET_SUBJECT, data, now())

    async def ask(
        self,
        *requirements: Requirement,
        arguments: JsonValue = None,
        requester: Principal = AGENT,
        findings: tuple[Finding, ...] = (),
        session_id: str | None = None,
        function: str = "payments.refund",
    ) -> Recorded:
        """A call that waits, in a new session unless one is given; its `approval_required` as it stands."""
        masked = await self._masked(arguments, requester, findings, session_id, function)
        return await self.ask_about(masked, *requirements)

    async def lose(self, arguments: JsonValue = None) -> Recorded:
        """A call that was allowed and ran, of which nobody knows what became; its `outcome_unknown` as it stands."""
        masked = await self._masked(arguments, AGENT, (), None)
        allowed = Allowed(policy_set=digest_of({}), policies=("small-refunds",), function_digest="b" * 64)
        started = ExecutionStarted(instance="e1", attempt=1, deadline=now())
        head = await self.policy.log.append(Draft(uuid7(), now(), allowed), masked)
        head = await self.executor.log.append(Draft(uuid7(), now(), started), head)
        return await self.executor.log.append(Draft(uuid7(), now(), OutcomeUnknown(code="timeout")), head)

    async def _masked(
        self,
        arguments: JsonValue,
        requester: Principal,
        findings: tuple[Finding, ...],
        session_id: str | None,
        function: str = "payments.refund",
    ) -> Recorded:
        ref = new_call(self.ingress, requester.session_owner, session_id)
        text = dump(arguments if arguments is not None else {"amount": 250})
        asked = uuid7()
        sealed = await self.ingress.sealer.seal(text, Place(ref, asked, "arguments"), "raw", now())
        requested = await self.ingress.log.append(
            Draft(asked, now(), Requested(function=function, principal=requester, arguments=sealed)),
            self.ingress.log.origin(ref),
        )
        return await self.mask(requested, text, requester, findings, function)

    async def mask(
        self,
        before: Recorded,
        text: bytes,
        requester: Principal = AGENT,
        findings: tuple[Finding, ...] = (),
        function: str = "payments.refund",
    ) -> Recorded:
        """Masking's answer to `requested` or `arguments_amended`; `text` is what is masked, and its view."""
        event, ref = uuid7(), before.ref
        data = ArgumentsMasked(
            function=function,
            principal=requester,
            arguments=await self.masking.sealer.seal(text, Place(ref, event, "arguments"), "raw", now()),
            view=await self.masking.sealer.seal(text, Place(ref, event, "view"), "view", now()),
            findings=findings,
            amended=before.name == ArgumentsAmended.NAME,
        )
        return await self.masking.log.append(Draft(event, now(), data), before)

    async def ask_about(self, masked: Recorded, *requirements: Requirement) -> Recorded:
        data = ApprovalRequired(
            policy_set=digest_of({}),
            policies=("large-refunds-need-finance",),
            function_digest="b" * 64,
            requirements=requirements or (requirement(),),
        )
        return await self.policy.log.append(Draft(uuid7(), now(), data), masked)

    async def until(self, ref: CallRef, *names: str) -> Recorded:
        """The first event of these names on the call."""
        async with asyncio.timeout(30):
            async for recorded in self.ingress.log.follow(ref.partition):
                if isinstance(recorded, Recorded) and recorded.ref == ref and recorded.name in names:
                    return recorded
        raise AssertionError("following a log does not end")

    async def chain(self, ref: CallRef) -> list[EventData]:
        chain = await self.ingress.log.read(ref)
        assert chain.aliens == ()
        return [recorded.data for recorded in chain.call.chain]


@contextlib.asynccontextmanager
async def scene(folder: Path, policies: str | None = POLICIES, **approval: Any) -> AsyncIterator[Scene]:
    """A deployment with its token issuer, `policies` published; `approval` is that section of the settings."""
    async with token_issuer(folder) as issuer:
        settings = {"identity": trusting(issuer), "connections": CONNECTIONS, "approval": approval}
        roles = (Role.INGRESS, Role.MASKING, Role.POLICY, Role.EXECUTOR)
        async with (
            running_deployment(folder, overrides=settings) as here,
            here.platforms(*roles) as others,
        ):
            stage = Scene(here, issuer, *(others[role] for role in roles))
            if policies is not None:
                await stage.publish_policies(policies)
            yield stage
