"""Slack: one message a question in the channel of those whom it asks, updated in place whatever happens, anywhere.

What a message shows is always made from the whole chain as it is now, so late, repeated and reordered notices all
lead to the same message. Sending one twice is prevented by a record before it (MessageShown without a message): where
a crash leaves open whether Slack has it, the channel's history is searched for it by its metadata.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from nats.aio.client import Client

from callgate.cedar.published import PublishedPolicies
from callgate.channel_settings import SlackSettings
from callgate.errors import BrokerAway, LostRace
from callgate.json_patch import Change, changes
from callgate.log import Log, reading
from callgate.records import Records
from contracts.events import ApprovalRequired, ArgumentsAmended, OutcomeUnknown
from contracts.identity import Principal, Role
from contracts.lifecycle import Call
from contracts.records import Accessed, MessageShown, NoticeDue
from contracts.subjects import NOTICES, CallRef, access_subject, message_subject
from services.approval.channels import SendFailed, Told, Unneeded, as_of, asked_in
from services.approval.domain import Question, question_of
from services.approval.history import History
from services.approval.rendering import plain
from services.approval.slack_api import CODE_PREFIX, SlackApi
from services.approval.slack_blocks import (
    CHANGES_SHOWN,
    SESSION_SHOWN,
    SETTLE,
    Block,
    Shown,
    escaped,
    link_button,
    message,
    metadata,
    text,
)
from services.approval.views import View, Views
from services.approval.words import reasons_in, settle_url

logger = logging.getLogger("services.approval.slack")

RETRIES = (1.0, 5.0, 15.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""Seconds; a question rarely waits longer."""
_PREFIX = "slack-"
"""Of endpoints."""
_GONE = frozenset({"message_not_found", "cant_update_message", "channel_not_found", "is_archived"})
"""Of an update: somebody deleted it, and nobody can mend it."""
_TRIES = 10
_SEARCHED = 100
"""Messages of the history among which one of ours is looked for."""


class Slack:
    """`services.approval.channels.Medium`, an endpoint for each channel."""

    def __init__(
        self,
        settings: SlackSettings,
        api: SlackApi,
        client: Client,
        log: Log,
        records: Records,
        views: Views,
        policies: PublishedPolicies,
        history: History,
        clock: Callable[[], datetime],
        public_url: str,
    ) -> None:
        self._channels = dict(settings.channels)
        self._api = api
        self._client = client
        self._log = log
        self._records = records
        self._views = views
        self._policies = policies
        self._history = history
        self._clock = clock
        self._public_url = public_url

    @property
    def names(self) -> Sequence[str]:
        return tuple(dict.fromkeys(_PREFIX + channel for channel in self._channels.values()))

    def retries(self, endpoint: str) -> Sequence[float]:
        del endpoint
        return RETRIES

    async def endpoints(self, told: Told) -> Iterable[str]:
        """The channels of the groups asked; for what changes a question, those that have a message about it."""
        if told.kind in ("approval_required", "escalated", "glass_broken"):
            return {_PREFIX + self._channels[group] for group in told.groups if group in self._channels}
        return await self._told_already(told.question.ref, told.question_id)

    async def send(self, due: NoticeDue, key: str, call: Call) -> int | None:
        then = as_of(call, due.event_id)
        question_id = asked_in(then) if then is not None else None
        if question_id is None:
            raise Unneeded("no_such_question")
        about = _about(call, question_id)
        if due.kind in ("approval_required", "escalated"):
            await self._post(due.endpoint, question_id, about)
        elif due.kind == "reminder":
            if not _asked(about).waiting:
                raise Unneeded("decided_already")
            await self._reply(due.endpoint, question_id, key, about, "Still waiting for a decision")
        elif due.kind == "glass_broken":
            alone = _asked(about).broken_glass
            who = plain(alone.reviewer, 80)[0] if alone is not None else "somebody"
            await self._reply(due.endpoint, question_id, key, about, f"Glass broken: approved by {who} alone")
        else:
            await self._update(due.endpoint, call.ref, question_id)
            if due.kind == OutcomeUnknown.NAME and about.state == due.kind:
                words = "Outcome unknown: it may have happened, and somebody must find out"
                settle = link_button(SETTLE, "Settle", settle_url(self._public_url, _asked(about)))
                await self._reply(due.endpoint, question_id, key, about, words, settle)
        return None

    async def _told_already(self, ref: CallRef, question_id: str) -> Iterable[str]:
        """From the leader: a replica behind it might miss the message that was sent just now."""
        found: list[str] = []
        start, wanted = 1, message_subject("*", ref, question_id)
        while (stored := await reading.leader_next(self._client, NOTICES, wanted, start)) is not None:
            shown = self._records.verify(stored).data
            if isinstance(shown, MessageShown):
                found.append(shown.endpoint)
            start = stored.sequence + 1
        return found

    async def _post(self, endpoint: str, question_id: str, about: Call) -> None:
        question = _asked(about)
        subject = message_subject(endpoint, about.ref, question_id)
        standing = await self._records.last(NOTICES, subject)
        before = standing.data if standing is not None else None
        sequence = standing.sequence if standing is not None else 0
        if not isinstance(before, MessageShown) or before.message is None:
            if not question.waiting:
                raise Unneeded("decided_already")
            message_id = await self._found(endpoint, question_id, about, question) if before is not None else None
            shown = MessageShown(endpoint=endpoint, call=str(about.ref), question=question_id, shows=0)
            if message_id is None:
                await self._record_look(endpoint, about.ref)
                sequence = await self._records.publish(subject, shown, self._clock(), sequence)
                message_id = await self._say(endpoint, await self._rendered(about, question), question_id)
                shown = shown.model_copy(update={"shows": _sequence(about)})
            shown = shown.model_copy(update={"message": message_id})
            await self._records.publish(subject, shown, self._clock(), sequence)
        # An event that came while it was sent found no message to update.
        await self._update(endpoint, about.ref, question_id)

    async def _update(self, endpoint: str, ref: CallRef, question_id: str) -> None:
        """Brings the message to what the chain says now. Of several that do so at once, whoever was overtaken does it
        again, so the last state is what stays."""
        subject = message_subject(endpoint, ref, question_id)
        for _ in range(_TRIES):
            standing = await self._records.last(NOTICES, subject)
            shown = standing.data if standing is not None else None
            if standing is None or not isinstance(shown, MessageShown) or shown.message is None:
                raise Unneeded("no_message")
            about = _about((await self._log.read(ref)).call, question_id)
            if _sequence(about) <= shown.shows:
                return
            words, blocks = await self._rendered(about, _asked(about))
            try:
                await self._api.call("chat.update", **_addressed(endpoint, words, blocks), ts=shown.message)
            except SendFailed as failed:
                if failed.code.removeprefix(CODE_PREFIX) in _GONE:
                    raise Unneeded("message_gone") from None
                raise
            now_shown = shown.model_copy(update={"shows": _sequence(about)})
            try:
                await self._records.publish(subject, now_shown, self._clock(), standing.sequence)
            except LostRace:
                continue
            return
        raise BrokerAway("too many updates of this message at this moment")

    async def _reply(
        self, endpoint: str, question_id: str, key: str, about: Call, words: str, button: Block | None = None
    ) -> None:
        """An answer in the message's thread that the channel sees too; a message of its own where there is none."""
        question = _asked(about)
        standing = await self._records.last(NOTICES, message_subject(endpoint, about.ref, question_id))
        first = standing.data if standing is not None else None
        thread = first.message if isinstance(first, MessageShown) else None
        subject = message_subject(endpoint, about.ref, key)
        standing = await self._records.last(NOTICES, subject)
        if standing is not None:
            before = standing.data
            if isinstance(before, MessageShown) and before.message is not None:
                return
            if await self._found(endpoint, key, about, question, thread) is not None:
                return
        shown = MessageShown(endpoint=endpoint, call=str(about.ref), question=key, shows=0)
        sequence = await self._records.publish(subject, shown, self._clock(), standing.sequence if standing else 0)
        said = f"{words}: {plain(question.function, 80)[0]}"
        blocks: list[Block] = [{"type": "section", "text": text(said, 300)}]
        if button is not None:
            blocks.append({"type": "actions", "elements": [button]})
        more = {"thread_ts": thread, "reply_broadcast": True} if thread else {}
        sent = await self._say(endpoint, (escaped(said), blocks), key, **more)
        await self._records.publish(subject, shown.model_copy(update={"message": sent}), self._clock(), sequence)

    async def _say(self, endpoint: str, said: tuple[str, list[Block]], key: str, **more: Any) -> str:
        arguments = _addressed(endpoint, *said) | {"unfurl_links": False, "unfurl_media": False} | more
        answer = await self._api.call("chat.postMessage", **arguments, metadata=metadata(key))
        sent = answer.get("ts")
        if not isinstance(sent, str):
            raise SendFailed("slack_answer_unknown")
        return sent

    async def _found(
        self, endpoint: str, key: str, about: Call, question: Question, thread: str | None = None
    ) -> str | None:
        """The message with that key, where a former attempt may have sent it. It takes the scope channels:history;
        without it such a message is sent again."""
        oldest = (question.asked_at - timedelta(minutes=5)).timestamp()
        arguments = {"channel": _channel(endpoint), "oldest": f"{oldest:.6f}", "limit": _SEARCHED}
        arguments |= {"include_all_metadata": True} | ({"ts": thread} if thread else {})
        try:
            answer = await self._api.read(f"conversations.{'replies' if thread else 'history'}", **arguments)
        except SendFailed as failed:
            if failed.code in ("slack_missing_scope", "slack_thread_not_found"):
                logger.warning("a message may be sent twice", extra={"call": str(about.ref), "code": failed.code})
                return None
            raise
        for sent in answer.get("messages", ()):
            if isinstance(sent, dict) and sent.get("metadata") == metadata(key) and isinstance(sent.get("ts"), str):
                return str(sent["ts"])
        return None

    async def _rendered(self, about: Call, question: Question) -> tuple[str, list[Block]]:
        reasons = reasons_in(self._policies)
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
        who = Principal(id=f"slack:{_channel(endpoint)}", issuer=self._api.client.base_url)
        looked = Accessed(
            who=who, action="viewed", session_id=ref.session_id, call_id=ref.call_id, detail={"what": "arguments"}
        )
        await self._records.publish(access_subject(Role.APPROVAL, ref.session_id, "viewed"), looked, self._clock())


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


def _sequence(about: Call) -> int:
    return about.head.sequence if about.head is not None else 0


def _channel(endpoint: str) -> str:
    return endpoint.removeprefix(_PREFIX)


def _addressed(endpoint: str, words: str, blocks: list[Block]) -> dict[str, Any]:
    return {"channel": _channel(endpoint), "text": words, "blocks": blocks, "mrkdwn": False, "link_names": False}
