"""Whole calls on a real log, each event appended by the service whose event it is, its payloads sealed."""

from dataclasses import dataclass
from datetime import timedelta

from deployment import append, new_call, sealed

from callgate.ids import uuid7
from callgate.log import Draft
from callgate.platform import Platform
from contracts.events import (
    Allowed,
    ApprovalRequired,
    Approved,
    ArgumentsMasked,
    Denied,
    ExecutionCompleted,
    ExecutionStarted,
    Proof,
    Recorded,
    Rejected,
    Requested,
    Requirement,
    ResultMasked,
    VoteCast,
)
from contracts.identity import Principal, Role
from contracts.subjects import CallRef

POLICY_SET = "a" * 64
FUNCTION_DIGEST = "b" * 64
AGENT = Principal(id="agent-7", issuer="https://issuer.test", groups=("support-bots",), on_behalf_of="ursula")
REVIEWER = Principal(id="rita", issuer="https://issuer.test", groups=("sre",))
ARGUMENTS = b'{"card":"4111111111111111"}'


@dataclass(frozen=True, slots=True)
class Calls:
    """Writes calls through the platforms of one deployment."""

    platforms: dict[Role, Platform]
    principal: Principal = AGENT

    async def requested(
        self, function: str = "deploys.start", session_id: str | None = None, arguments: bytes = ARGUMENTS
    ) -> Recorded:
        ingress = self.platforms[Role.INGRESS]
        ref = new_call(ingress, self.principal.session_owner, session_id)
        event_id = uuid7()
        payload = await sealed(ingress, ref, event_id, "arguments", arguments, "raw")
        data = Requested(function=function, principal=self.principal, arguments=payload)
        return await ingress.log.append(Draft(event_id, ingress.clock(), data), ingress.log.origin(ref))

    async def masked(self, answered: Recorded, view: bytes = b'{"card":"****"}') -> Recorded:
        masking = self.platforms[Role.MASKING]
        requested = answered.data
        assert isinstance(requested, Requested)
        event_id = uuid7()
        data = ArgumentsMasked(
            function=requested.function,
            principal=requested.principal,
            arguments=await sealed(masking, answered.ref, event_id, "arguments", ARGUMENTS, "raw"),
            view=await sealed(masking, answered.ref, event_id, "view", view, "view"),
        )
        return await masking.log.append(Draft(event_id, masking.clock(), data), answered)

    async def allowed(self, answered: Recorded) -> Recorded:
        data = Allowed(policy_set=POLICY_SET, policies=("agents-deploy",), function_digest=FUNCTION_DIGEST)
        return await append(self.platforms[Role.POLICY], answered, data)

    async def denied(self, answered: Recorded) -> Recorded:
        data = Denied(
            policy_set=POLICY_SET, policies=("never",), function_digest=FUNCTION_DIGEST, code="forbidden_by_policy"
        )
        return await append(self.platforms[Role.POLICY], answered, data)

    async def approval_required(self, answered: Recorded) -> Recorded:
        policy = self.platforms[Role.POLICY]
        requirement = Requirement(
            policies=("deploys-need-sre",),
            approvers=("sre",),
            quorum=1,
            expires_at=policy.clock() + timedelta(minutes=5),
        )
        data = ApprovalRequired(
            policy_set=POLICY_SET,
            policies=("deploys-need-sre",),
            function_digest=FUNCTION_DIGEST,
            requirements=(requirement,),
        )
        return await append(policy, answered, data)

    async def vote(self, answered: Recorded, decision: str = "approve", reason: str = "looks right") -> Recorded:
        approval = self.platforms[Role.APPROVAL]
        event_id = uuid7()
        data = VoteCast(
            reviewer=REVIEWER,
            decision="approve" if decision == "approve" else "reject",
            reason=await sealed(approval, answered.ref, event_id, "reason", reason.encode(), "view"),
            policies=("sre-approves",),
            proof=Proof(issuer=REVIEWER.issuer, subject=REVIEWER.id, digest=answered.digest),
        )
        return await approval.log.append(Draft(event_id, approval.clock(), data), answered)

    async def approved(self, vote: Recorded) -> Recorded:
        return await append(self.platforms[Role.APPROVAL], vote, Approved(votes=(vote.event.event_id,)))

    async def rejected(self, vote: Recorded) -> Recorded:
        return await append(self.platforms[Role.APPROVAL], vote, Rejected(by=REVIEWER.id, vote=vote.event.event_id))

    async def started(self, answered: Recorded, attempt: int = 1) -> Recorded:
        executor = self.platforms[Role.EXECUTOR]
        deadline = executor.clock() + timedelta(seconds=30)
        return await append(executor, answered, ExecutionStarted(instance="e1", attempt=attempt, deadline=deadline))

    async def completed(self, answered: Recorded, function: str = "deploys.start") -> Recorded:
        executor = self.platforms[Role.EXECUTOR]
        event_id = uuid7()
        data = ExecutionCompleted(
            function=function,
            status=200,
            content_type="application/json",
            result=await sealed(executor, answered.ref, event_id, "result", b'{"ok":true}', "raw"),
            size=11,
            duration_ms=4.0,
        )
        return await executor.log.append(Draft(event_id, executor.clock(), data), answered)

    async def result(self, answered: Recorded, view: bytes = b'{"ok":true}') -> Recorded:
        masking = self.platforms[Role.MASKING]
        event_id = uuid7()
        data = ResultMasked(
            status=200,
            content_type="application/json",
            view=await sealed(masking, answered.ref, event_id, "view", view, "view"),
        )
        return await masking.log.append(Draft(event_id, masking.clock(), data), answered)

    async def executed(self, function: str = "deploys.start", session_id: str | None = None) -> CallRef:
        """Allowed at once, run, answered: six events."""
        masked = await self.masked(await self.requested(function, session_id))
        return (await self.result(await self.completed(await self.started(await self.allowed(masked)), function))).ref

    async def approved_and_executed(self, session_id: str | None = None) -> CallRef:
        """Held back, approved by one person, judged again, run, answered: nine events."""
        question = await self.approval_required(await self.masked(await self.requested(session_id=session_id)))
        allowed = await self.allowed(await self.approved(await self.vote(question)))
        return (await self.result(await self.completed(await self.started(allowed)))).ref

    async def refused(self, function: str = "firewall.change", session_id: str | None = None) -> CallRef:
        """Denied by policy: three events."""
        return (await self.denied(await self.masked(await self.requested(function, session_id)))).ref

    async def rejected_by_a_person(self, session_id: str | None = None) -> CallRef:
        question = await self.approval_required(await self.masked(await self.requested(session_id=session_id)))
        return (await self.rejected(await self.vote(question, "reject", "too risky today"))).ref
