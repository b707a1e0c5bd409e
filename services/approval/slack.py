"""Slack: one message a question in the channel of those whom it asks, and one an outcome that nobody knows where it is
settled. Both are updated in place whatever happens, anywhere.

What a message shows is always made from the whole chain as it is now, so late, repeated and reordered notices all
lead to the same message.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from callgate.cedar.published import PublishedPolicies
from callgate.channel_settings import SlackSettings
from callgate.json_patch import Change, changes
from callgate.records import Records
from contracts.events import ApprovalRequired, ArgumentsAmended, OutcomeSettled, OutcomeUnknown
from contracts.identity import Principal, Role
from contracts.lifecycle import Call
from contracts.records import Accessed, NoticeDue
from contracts.subjects import CallRef, access_subject
from services.approval.channels import Told, Unneeded, as_of, asked_in, lost_in
from services.approval.domain import Question, question_of
from services.approval.history import History
from services.approval.outcomes import Unsettled, unsettled_of
from services.approval.rendering import plain
from services.approval.slack_api import SlackApi
from services.approval.slack_blocks import (
    CHANGES_SHOWN,
    SESSION_SHOWN,
    Block,
    Shown,
    escaped,
    message,
    outcome_message,
    text,
)
from services.approval.slack_messages import PREFIX, Messages, Said, Topic, channel_of, last_sequence
from services.approval.views import View, Views
from services.approval.words import reasons_in, require_unsettled

RETRIES = (1.0, 5.0, 15.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""Seconds; a question rarely waits longer."""


class Slack:
    """`services.approval.channels.Medium`, an endpoint for each channel."""

    def __init__(
        self,
        settings: SlackSettings,
        api: SlackApi,
        messages: Messages,
        records: Records,
        views: Views,
        policies: PublishedPolicies,
        history: History,
        clock: Callable[[], datetime],
        public_url: str,
    ) -> None:
        self._channels = dict(settings.channels)
        self._api = api
        self._messages = messages
        self._records = records
        self._views = views
        self._policies = policies
        self._history = history
        self._clock = clock
        self._public_url = public_url

    @property
    def names(self) -> Sequence[str]:
        return tuple(dict.fromkeys(PREFIX + channel for channel in self._channels.values()))

    def retries(self, endpoint: str) -> Sequence[float]:
        del endpoint
        return RETRIES

    async def endpoints(self, told: Told) -> Iterable[str]:
        """The channels of the groups asked, and of those who settle; for what changes a question or an outcome, those
        that have a message about it."""
        begins = told.kind in ("approval_required", "escalated", "glass_broken")
        if begins or (told.kind == OutcomeUnknown.NAME and isinstance(told.about, Unsettled)):
            return {PREFIX + self._channels[group] for group in told.groups if group in self._channels}
        return await self._messages.endpoints(told.about.ref, told.about_id)

    async def send(self, due: NoticeDue, key: str, call: Call) -> int | None:
        then = as_of(call, due.event_id)
        question_id, outcome_id = (asked_in(then), lost_in(then)) if then is not None else (None, None)
        if due.kind == OutcomeUnknown.NAME and outcome_id is not None:
            await self._tell_of_outcome(due.endpoint, call, question_id, outcome_id)
        elif due.kind == OutcomeSettled.NAME and outcome_id is not None:
            topics = [self._outcome(outcome_id), *([self._question(question_id)] if question_id is not None else [])]
            await self._update_all(due.endpoint, call.ref, topics)
        elif question_id is None:
            raise Unneeded("no_such_question")
        else:
            await self._tell_of_question(due, key, call, question_id)
        return None

    # Questions.

    async def _tell_of_question(self, due: NoticeDue, key: str, call: Call, question_id: str) -> None:
        about = _about(call, question_id)
        if due.kind in ("approval_required", "escalated"):
            await self._ask(due.endpoint, question_id, about)
        elif due.kind == "reminder":
            if not _asked(about).waiting:
                raise Unneeded("decided_already")
            await self._reply(due.endpoint, question_id, key, about, "Still waiting for a decision")
        elif due.kind == "glass_broken":
            alone = _asked(about).broken_glass
            who = plain(alone.reviewer, 80)[0] if alone is not None else "somebody"
            await self._reply(due.endpoint, question_id, key, about, f"Glass broken: approved by {who} alone")
        else:
            await self._messages.update(due.endpoint, call.ref, self._question(question_id))

    async def _ask(self, endpoint: str, question_id: str, about: Call) -> None:
        question = _asked(about)

        async def write() -> Said:
            if not question.waiting:
                raise Unneeded("decided_already")
            await self._record_look(endpoint, about.ref)
            return await self._written(about)

        shows = last_sequence(about)
        await self._messages.post(endpoint, about.ref, question_id, question.asked_at, write, shows=shows)
        # An event that came while it was sent found no message to update.
        await self._messages.update(endpoint, about.ref, self._question(question_id))

    async def _reply(self, endpoint: str, question_id: str, key: str, about: Call, words: str) -> None:
        """An answer in the message's thread; a message of its own where there is none."""
        question = _asked(about)

        async def write() -> Said:
            said = f"{words}: {plain(question.function, 80)[0]}"
            blocks: list[Block] = [{"type": "section", "text": text(said, 300)}]
            return escaped(said), blocks

        thread = await self._messages.id_of(endpoint, about.ref, question_id)
        await self._messages.post(endpoint, about.ref, key, question.asked_at, write, thread=thread)

    def _question(self, question_id: str) -> Topic:
        return Topic(question_id, lambda call: _about(call, question_id), self._written)

    async def _written(self, about: Call) -> Said:
        question, reasons = _asked(about), reasons_in(self._policies)
        policies = [(name, reasons.get(name)) for name in question.policies]
        view, before = await self._views.of(question), await self._history.session_so_far(about.ref, SESSION_SHOWN)
        changed = await self._changed(about, view)
        return message(Shown(about, question, view, policies, before, changed, self._public_url))

    async def _changed(self, about: Call, view: View) -> tuple[Change, ...]:
        """What the last amendment before the question changed of what people see."""
        then = _amended_before(about)
        question = question_of(then) if then is not None else None
        if question is None or view.withheld:
            return ()
        former = await self._views.of(question)
        return () if former.withheld else changes(former.arguments, view.arguments, CHANGES_SHOWN + 1)

    async def _record_look(self, endpoint: str, ref: CallRef) -> None:
        """Who is in the channel is Slack's to know; that the arguments went there is on record before they do."""
        who = Principal(id=f"slack:{channel_of(endpoint)}", issuer=self._api.client.base_url)
        looked = Accessed(
            who=who, action="viewed", session_id=ref.session_id, call_id=ref.call_id, detail={"what": "arguments"}
        )
        await self._records.publish(access_subject(Role.APPROVAL, ref.session_id, "viewed"), looked, self._clock())

    # Outcomes that nobody knew.

    async def _tell_of_outcome(self, endpoint: str, call: Call, question_id: str | None, outcome_id: str) -> None:
        """A message that leads to where it is settled: in the thread of the question, where the channel has one."""
        thread = None
        if question_id is not None:
            with contextlib.suppress(Unneeded):  # the channel settles, and was not asked
                await self._messages.update(endpoint, call.ref, self._question(question_id))
            thread = await self._messages.id_of(endpoint, call.ref, question_id)
        about = _about_outcome(call, outcome_id)

        async def write() -> Said:
            then = as_of(call, outcome_id)
            require_unsettled(call, then if then is not None else call)
            return await self._outcome_written(about)

        since, shows = _lost(about).since, last_sequence(about)
        await self._messages.post(endpoint, call.ref, outcome_id, since, write, shows=shows, thread=thread)
        await self._messages.update(endpoint, call.ref, self._outcome(outcome_id))

    def _outcome(self, outcome_id: str) -> Topic:
        return Topic(outcome_id, lambda call: _about_outcome(call, outcome_id), self._outcome_written)

    async def _outcome_written(self, about: Call) -> Said:
        return outcome_message(about, _lost(about), self._public_url)

    async def _update_all(self, endpoint: str, ref: CallRef, topics: Sequence[Topic]) -> None:
        """Unneeded where the channel has no message about any of them."""
        unneeded: list[Unneeded] = []
        for topic in topics:
            try:
                await self._messages.update(endpoint, ref, topic)
            except Unneeded as one:
                unneeded.append(one)
        if len(unneeded) == len(topics):
            raise unneeded[0]


def _about(call: Call, question_id: str) -> Call:
    """The call as far as it speaks of that question: until it is changed, or asked about anew."""
    end, seen = 0, False
    for recorded in call.chain:
        if seen and isinstance(recorded.data, ApprovalRequired):
            break
        seen = seen or recorded.event.event_id == question_id
        end += 1
        if seen and isinstance(recorded.data, ArgumentsAmended):
            break
    return Call(call.ref, call.genesis, call.chain[:end])


def _about_outcome(call: Call, outcome_id: str) -> Call:
    """The call as far as it speaks of that outcome: until somebody says what became of it."""
    end, seen = 0, False
    for recorded in call.chain:
        seen = seen or recorded.event.event_id == outcome_id
        end += 1
        if seen and isinstance(recorded.data, OutcomeSettled):
            break
    return Call(call.ref, call.genesis, call.chain[:end])


def _amended_before(about: Call) -> Call | None:
    """The call as it was when somebody changed what this question is about; None where nobody did."""
    asked = about.last_recorded(ApprovalRequired)
    amended = [
        one.event.event_id
        for one in about.chain
        if isinstance(one.data, ArgumentsAmended) and asked is not None and one.sequence < asked.sequence
    ]
    return as_of(about, amended[-1]) if amended else None


def _asked(about: Call) -> Question:
    question = question_of(about)
    if question is None:
        raise Unneeded("no_such_question")
    return question


def _lost(about: Call) -> Unsettled:
    outcome = unsettled_of(about)
    if outcome is None:
        raise Unneeded("no_such_outcome")
    return outcome
