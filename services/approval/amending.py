"""4. Amending: a reviewer changes the arguments of a call that waits, seeing and changing them in their masked form.

Approval cannot open the arguments: it tries the patch on the masked view, and seals it for masking, which applies it
to the arguments themselves. Then policy judges anew, and votes start over.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from callgate.ids import uuid7
from callgate.inputs import InputSchema
from callgate.json_patch import BadPatch, apply_patch, changes, checked_patch
from callgate.jsontext import dump
from callgate.sealing import Place, Sealer
from contracts.events import InputProblem
from contracts.functions import Catalog, Function
from contracts.identity import Principal
from contracts.model import JsonValue
from contracts.subjects import CallRef
from services.approval.aggregate import Approval
from services.approval.domain import DecisionRefused, Question, Refusal, check_amendment
from services.approval.people import Rights
from services.approval.repository import Approvals, TooLate
from services.approval.views import View, Views
from services.approval.waiting import Waiting

logger = logging.getLogger("services.approval")

_PROBLEMS_COMPARED = 1000
_PROBLEMS_NAMED = 8


@dataclass(frozen=True, slots=True)
class Amendment:
    """A change of the arguments of the call that has this digest. `patch` is a JSON Patch as it was parsed."""

    digest: str
    patch: JsonValue = field(repr=False)
    reason: str | None = field(default=None, repr=False)


class BadAmendment(Exception):
    """The patch makes no sense here; `code` and `detail` are for its sender, and quote nothing of it."""

    def __init__(self, code: str, detail: str, problems: tuple[InputProblem, ...] = ()) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.problems = problems
        """Where the function's schema would be broken that was not before."""


class Amending:
    """What people do to arguments. BrokerAway and NoPolicies beside the exceptions named."""

    def __init__(
        self,
        approvals: Approvals,
        sealer: Sealer,
        rights: Rights,
        views: Views,
        waiting: Waiting[Question],
        catalog: Catalog,
        clock: Callable[[], datetime],
    ) -> None:
        self._approvals = approvals
        self._sealer = sealer
        self._rights = rights
        self._views = views
        self._waiting = waiting
        self._catalog = catalog
        self._clock = clock
        self._schemas: dict[str, tuple[Function, InputSchema]] = {}
        """By name, compiled of that function: of another of the name, it is no more the one that counts."""

    async def amend(self, ref: CallRef, author: Principal, amendment: Amendment) -> Question:
        """Records the change; the question after it, which nobody may answer any more.

        AggregateNotFoundError, NobodyAsked, DecisionRefused, BadAmendment. After BrokerAway it may or may not stand.
        """

        async def amend(approval: Approval) -> None:
            question = approval.must_question
            decider = await self._rights.over("approve", question, author)
            # Whoever may not decide learns nothing of the arguments from what is said of their patch.
            check_amendment(question, author, decider.permitted, amendment.digest, self._clock())
            self._try(question, await self._views.of(question), amendment.patch)
            event_id, at = uuid7(), self._clock()
            patch = await self._sealer.seal(dump(amendment.patch), Place(ref, event_id, "patch"), "raw", at)
            reason = None
            if amendment.reason:
                place = Place(ref, event_id, "reason")
                reason = await self._sealer.seal(amendment.reason.encode(), place, "view", at)
            approval.amend(event_id, at, decider, amendment.digest, patch, reason)

        async with self._approvals.turn(ref):
            try:
                approval = await self._approvals.continued(await self._approvals.get(ref), amend)
            except TooLate as late:
                raise DecisionRefused(Refusal.EXPIRED, late.approval.must_question) from None
            self._waiting.know(approval.call)
        logger.info("arguments amended", extra={"call": str(ref)})
        return approval.must_question

    def _try(self, question: Question, view: View, document: JsonValue) -> None:
        """BadAmendment unless the patch does something to the view that leaves it as good as it was."""
        if view.withheld:
            raise BadAmendment("arguments_withheld", "The arguments cannot be shown, so they cannot be changed.")
        try:
            after = apply_patch(view.arguments, checked_patch(document))
        except BadPatch as bad:
            raise BadAmendment(bad.code, _told(bad)) from None
        if not changes(view.arguments, after, 1):
            raise BadAmendment("changes_nothing", "The arguments are so already; change something, or approve them.")
        problems = self._new_problems(question.function, view.arguments, after)
        if problems:
            raise BadAmendment("breaks_schema", "The arguments would break the function's schema.", problems)

    def _new_problems(self, name: str, before: JsonValue, after: JsonValue) -> tuple[InputProblem, ...]:
        """What the schema says against the view after, and not before: masking may have broken it already."""
        function = self._catalog.get(name)
        if function is None:
            return ()
        compiled_of, schema = self._schemas.get(name, (None, None))
        if schema is None or compiled_of is not function:
            schema = InputSchema(function)
            self._schemas[name] = function, schema
        if schema.takes(after):
            return ()
        found = Counter(schema.problems(after, _PROBLEMS_COMPARED))
        return tuple((found - Counter(schema.problems(before, _PROBLEMS_COMPARED))).elements())[:_PROBLEMS_NAMED]


def _told(bad: BadPatch) -> str:
    where = "" if bad.operation is None else f" Operation {bad.operation + 1}:"
    detail = f"{bad.detail[:1].upper()}{bad.detail[1:]}" if not where else bad.detail
    return f"The patch is not taken.{where} {detail}."
