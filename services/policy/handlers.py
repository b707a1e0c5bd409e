"""Policy's shell: step 3 of docs/call-lifecycle.md, on masked arguments and again after approval."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from callgate.control import FreezeBook
from callgate.delivery import Delivery
from callgate.errors import Rejected
from callgate.ids import uuid7
from callgate.jsontext import JsonTextError, parse
from callgate.log import Draft, Log
from callgate.sealing import Place, Sealer
from contracts.events import Allowed, ApprovalRequired, ArgumentsMasked, Denied, EventData, GrantUse, Recorded
from contracts.lifecycle import Call
from contracts.model import JsonValue
from services.policy.domain import (
    CallFacts,
    RequirementsMet,
    Rules,
    SessionFacts,
    Verdict,
    decide,
    decide_amended,
    decide_approved,
    decide_granted,
)
from services.policy.grants import GrantUses
from services.policy.sessions import Sessions

logger = logging.getLogger("services.policy")

_UNKNOWN_FUNCTION = "0" * 64
"""Stands for the digest of a function that nobody declared."""

_NAMED = frozenset({"token_invalid", "token_not_allowed", "patch_does_not_apply"})
"""What masking says of tokens that it did not resolve, and of an amendment: people's own mistakes, so they are told."""


class Policy:
    """Judges calls by the rules of the moment."""

    def __init__(
        self,
        log: Log,
        sealer: Sealer,
        rules: Callable[[str], Awaitable[Rules]],
        sessions: Sessions,
        freezes: FreezeBook,
        grants: GrantUses,
        clock: Callable[[], datetime],
    ) -> None:
        """`rules` gives those in force for a function, with all that was acknowledged of it before. BrokerAway."""
        self._log = log
        self._sealer = sealer
        self._rules = rules
        self._sessions = sessions
        self._freezes = freezes
        self._grants = grants
        self._clock = clock

    async def on_arguments_masked(self, recorded: Recorded, delivery: Delivery) -> None:
        """3. The first judgement: allowed, denied, or held back until people approve."""
        masked = recorded.data
        if isinstance(masked, ArgumentsMasked) and masked.amended:
            await self._on_amended(recorded, delivery)
            return
        facts, rules = await self._facts(recorded)
        verdict, use = decide(rules, facts), None
        if verdict.outcome == "approval_required":
            use = await self._grants.use(recorded.ref, facts, verdict, rules)
        if use is not None:
            verdict = decide_granted(rules, facts)
        await self._append(verdict, facts, rules, recorded, delivery, use)

    async def _on_amended(self, recorded: Recorded, delivery: Delivery) -> None:
        """3, of arguments that a person changed: others than the author must approve, so no grant counts."""
        call = (await self._log.read(recorded.ref)).around(recorded)
        asked = call.last_recorded(ApprovalRequired)
        if call.head_digest != recorded.digest or asked is None or not isinstance(asked.data, ApprovalRequired):
            return  # answered already, or no part of the chain
        facts, rules = await self._facts(recorded)
        verdict = decide_amended(rules, facts, asked.data.requirements, asked.event.at)
        await self._append(verdict, facts, rules, recorded, delivery)

    async def on_approved(self, recorded: Recorded, delivery: Delivery) -> None:
        """3, again: under the policies of this moment, with the votes that the chain proves."""
        # Whether it is answered already, the append finds; only where it comes again the leader is asked before.
        first = delivery.number == 1
        chain = await (self._log.read_upto(recorded) if first else self._log.read(recorded.ref))
        call = chain.around(recorded)
        masked, asked = call.last_recorded(ArgumentsMasked), call.last_recorded(ApprovalRequired)
        if call.head is None or call.head.digest != recorded.digest or masked is None or asked is None:
            return  # answered already, or no part of the chain
        facts, rules = await self._facts(masked)
        verdict = decide_approved(rules, facts, _met_by(call), asked.event.at)
        await self._append(verdict, facts, rules, recorded, delivery)

    async def _facts(self, recorded: Recorded) -> tuple[CallFacts, Rules]:
        """What a call is judged by, and under which rules."""
        masked = recorded.data
        assert isinstance(masked, ArgumentsMasked)  # noqa: S101
        rules = await self._rules(masked.function)
        arguments, view, inspectable = await self._open(recorded, masked)
        refusal = next((code for code in masked.uninspectable if code in _NAMED), "uninspectable")
        wanted = rules.policies is not None and rules.policies.mentions_session
        freeze = self._freezes.stopping(masked.principal, recorded.ref.session_id, masked.function)
        facts = CallFacts(
            function=rules.known(masked.function),
            barred=rules.barred.get(masked.function),
            principal=masked.principal,
            arguments=arguments,
            view=view,
            findings=frozenset(finding.entity for finding in masked.findings),
            inspectable=inspectable,
            session=await self._sessions.before(recorded.ref) if wanted else SessionFacts(),
            now=self._clock(),
            freeze=freeze.freeze_id if freeze is not None else None,
            refusal=refusal,
            problems=tuple(problem for problem in masked.refused_tokens if problem.keyword == refusal),
            masked=frozenset(finding.path for finding in masked.findings),
        )
        return facts, rules

    async def _open(self, recorded: Recorded, masked: ArgumentsMasked) -> tuple[JsonValue, JsonValue, bool]:
        """Raw arguments, their view, and whether masking could inspect all of it."""
        if masked.arguments is None or masked.view is None or masked.uninspectable:
            return None, None, False
        event_id = recorded.event.event_id
        try:
            raw, view = await asyncio.gather(
                self._sealer.open(masked.arguments, Place(recorded.ref, event_id, "arguments"), "raw"),
                self._sealer.open(masked.view, Place(recorded.ref, event_id, "view"), "view"),
            )
            return parse(raw, numbers="exact"), parse(view), True
        except (Rejected, JsonTextError) as error:
            logger.warning("arguments do not open", extra={"call": str(recorded.ref), "code": error.code})
            return None, None, False

    async def _append(
        self,
        verdict: Verdict,
        facts: CallFacts,
        rules: Rules,
        answers: Recorded,
        delivery: Delivery,
        use: GrantUse | None = None,
    ) -> None:
        digest = rules.functions[facts.function.name].digest if facts.function else _UNKNOWN_FUNCTION
        draft = Draft(uuid7(), facts.now, event_of(verdict, digest, use))
        await self._log.append(draft, answers, traceparent=delivery.traceparent)


def event_of(verdict: Verdict, function_digest: str, use: GrantUse | None = None) -> EventData:
    """The event that records a verdict; `use` where a grant gave it."""
    judged = {
        "policy_set": verdict.policy_set,
        "policies": verdict.policies,
        "facts": dict(verdict.facts),
        "function_digest": function_digest,
    }
    if verdict.outcome == "allowed":
        return Allowed.model_validate({**judged, "grant": use})
    if verdict.outcome == "approval_required":
        return ApprovalRequired.model_validate({**judged, "requirements": verdict.requirements})
    return Denied.model_validate(
        {**judged, "code": verdict.code, "problems": verdict.problems, "freeze": verdict.freeze}
    )


def _met_by(call: Call) -> RequirementsMet:
    return lambda requirements: call.tally(requirements).met
