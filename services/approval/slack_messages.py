"""Messages of ours in Slack: each posted once, and updated in place to what the chain says now.

Posting one twice is prevented by a record before it (MessageShown without a message): where a crash leaves open
whether Slack has it, the channel's history is searched for it by its metadata.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nats.aio.client import Client

from callgate.errors import BrokerAway, LostRace
from callgate.log import Log, reading
from callgate.records import Records
from contracts.lifecycle import Call
from contracts.records import MessageShown
from contracts.subjects import NOTICES, CallRef, message_subject
from services.approval.channels import SendFailed, Unneeded
from services.approval.slack_api import CODE_PREFIX, SlackApi
from services.approval.slack_blocks import Block, metadata

logger = logging.getLogger("services.approval.slack")

PREFIX = "slack-"
"""Of endpoints; a channel's id follows."""
_GONE = frozenset({"message_not_found", "cant_update_message", "channel_not_found", "is_archived"})
"""Of an update: somebody deleted it, and nobody can mend it."""
_TRIES = 10
_SEARCHED = 100
"""Messages of the history among which one of ours is looked for."""

Said = tuple[str, list[Block]]
"""The notification's text and the blocks."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a message that is kept up to date is about."""

    key: str
    """The event id with which it begins."""
    about: Callable[[Call], Call]
    """The call as far as it speaks of the topic."""
    write: Callable[[Call], Awaitable[Said]]
    """What is said of that."""


class Messages:
    """The messages of one bot. SendFailed and BrokerAway beside the exceptions named."""

    def __init__(
        self, api: SlackApi, client: Client, log: Log, records: Records, clock: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._client = client
        self._log = log
        self._records = records
        self._clock = clock

    async def endpoints(self, ref: CallRef, key: str) -> Sequence[str]:
        """Those that have a message, or may have it.

        From the leader: a replica behind it might miss the message that was sent just now.
        """
        found: list[str] = []
        start, wanted = 1, message_subject("*", ref, key)
        while (stored := await reading.leader_next(self._client, NOTICES, wanted, start)) is not None:
            shown = self._records.verify(stored).data
            if isinstance(shown, MessageShown):
                found.append(shown.endpoint)
            start = stored.sequence + 1
        return found

    async def id_of(self, endpoint: str, ref: CallRef, key: str) -> str | None:
        """Slack's id of a message, which begins its thread."""
        standing = await self._records.last(NOTICES, message_subject(endpoint, ref, key))
        shown = standing.data if standing is not None else None
        return shown.message if isinstance(shown, MessageShown) else None

    async def post(
        self,
        endpoint: str,
        ref: CallRef,
        key: str,
        since: datetime,
        write: Callable[[], Awaitable[Said]],
        *,
        shows: int = 0,
        thread: str | None = None,
    ) -> None:
        """Posts it unless it is there, as an answer in the thread that the channel sees too where one is given.

        `shows`: the last event of which it tells. `since`: before that it cannot have been posted.
        """
        subject = message_subject(endpoint, ref, key)
        standing = await self._records.last(NOTICES, subject)
        before, sequence = (standing.data, standing.sequence) if standing is not None else (None, 0)
        if isinstance(before, MessageShown) and before.message is not None:
            return
        shown = MessageShown(endpoint=endpoint, call=str(ref), question=key, shows=0)
        message = await self._found(endpoint, ref, key, since, thread) if before is not None else None
        if message is None:
            words, blocks = await write()
            sequence = await self._records.publish(subject, shown, self._clock(), sequence)
            message = await self._say(endpoint, words, blocks, key, thread)
            shown = shown.model_copy(update={"shows": shows})
        await self._records.publish(subject, shown.model_copy(update={"message": message}), self._clock(), sequence)

    async def update(self, endpoint: str, ref: CallRef, topic: Topic) -> None:
        """Brings the message to what the chain says now. Unneeded where there is none.

        Of several that do so at once, whoever was overtaken does it again, so the last state is what stays.
        """
        subject = message_subject(endpoint, ref, topic.key)
        for _ in range(_TRIES):
            standing = await self._records.last(NOTICES, subject)
            shown = standing.data if standing is not None else None
            if standing is None or not isinstance(shown, MessageShown) or shown.message is None:
                raise Unneeded("no_message")
            about = topic.about((await self._log.read(ref)).call)
            if last_sequence(about) <= shown.shows:
                return
            words, blocks = await topic.write(about)
            try:
                await self._api.call("chat.update", **_addressed(endpoint, words, blocks), ts=shown.message)
            except SendFailed as failed:
                if failed.code.removeprefix(CODE_PREFIX) in _GONE:
                    raise Unneeded("message_gone") from None
                raise
            now_shown = shown.model_copy(update={"shows": last_sequence(about)})
            try:
                await self._records.publish(subject, now_shown, self._clock(), standing.sequence)
            except LostRace:
                continue
            return
        raise BrokerAway("too many updates of this message at this moment")

    async def _say(self, endpoint: str, words: str, blocks: list[Block], key: str, thread: str | None) -> str:
        arguments = _addressed(endpoint, words, blocks) | {"unfurl_links": False, "unfurl_media": False}
        arguments |= {"thread_ts": thread, "reply_broadcast": True} if thread else {}
        answer = await self._api.call("chat.postMessage", **arguments, metadata=metadata(key))
        sent = answer.get("ts")
        if not isinstance(sent, str):
            raise SendFailed("slack_answer_unknown")
        return sent

    async def _found(self, endpoint: str, ref: CallRef, key: str, since: datetime, thread: str | None) -> str | None:
        """The message with that key, where a former attempt may have sent it. It takes the scope channels:history;
        without it such a message is sent again."""
        oldest = (since - timedelta(minutes=5)).timestamp()
        arguments = {"channel": channel_of(endpoint), "oldest": f"{oldest:.6f}", "limit": _SEARCHED}
        arguments |= {"include_all_metadata": True} | ({"ts": thread} if thread else {})
        try:
            answer = await self._api.read(f"conversations.{'replies' if thread else 'history'}", **arguments)
        except SendFailed as failed:
            if failed.code in ("slack_missing_scope", "slack_thread_not_found"):
                logger.warning("a message may be sent twice", extra={"call": str(ref), "code": failed.code})
                return None
            raise
        for sent in answer.get("messages", ()):
            if isinstance(sent, dict) and sent.get("metadata") == metadata(key) and isinstance(sent.get("ts"), str):
                return str(sent["ts"])
        return None


def last_sequence(about: Call) -> int:
    """Of the last event of which a message tells."""
    return about.head.sequence if about.head is not None else 0


def channel_of(endpoint: str) -> str:
    """The channel's id."""
    return endpoint.removeprefix(PREFIX)


def _addressed(endpoint: str, words: str, blocks: list[Block]) -> dict[str, Any]:
    return {"channel": channel_of(endpoint), "text": words, "blocks": blocks, "mrkdwn": False, "link_names": False}
