"""Microsoft Teams: an Adaptive Card a notice, posted to a workflow's URL, with a link to where it is decided.

A card shows no argument. What others wrote stands in a TextRun, which reads neither markup nor mentions; a FactSet
or a TextBlock would. https://learn.microsoft.com/power-automate/teams/send-a-message-in-teams
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from callgate.cedar.published import PublishedPolicies
from callgate.channel_settings import TeamsSettings, require_receiver
from contracts.lifecycle import Call
from contracts.records import NoticeDue
from services.approval.channels import SendFailed, Told
from services.approval.outbound import Outbound
from services.approval.secret_files import SecretMissing, read_secret
from services.approval.words import Summary, reasons_in, summary

PREFIX = "teams-"
LIMIT = 28 * 1024
"""Bytes of a message that Teams takes."""
_HEADERS = {"Content-Type": "application/json", "User-Agent": "Callgate-Teams/1"}


class Teams:
    """`services.approval.channels.Medium`, an endpoint for each channel. Close it in the end."""

    def __init__(self, settings: TeamsSettings, policies: PublishedPolicies, public_url: str) -> None:
        self._settings = settings
        self._channels = {PREFIX + channel.name: channel for channel in settings.channels}
        self._policies = policies
        self._public_url = public_url
        self._outbound = Outbound("teams")

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._channels)

    def retries(self, endpoint: str) -> Sequence[float]:
        del endpoint
        return self._settings.retries

    async def endpoints(self, told: Told) -> Iterable[str]:
        return [name for name, one in self._channels.items() if told.is_for(self._settings.events, one.groups)]

    async def send(self, due: NoticeDue, key: str, call: Call) -> int | None:
        del key  # Teams has no word for "the same once more"
        card = message(summary(due.kind, call, due.event_id, reasons_in(self._policies), self._public_url))
        try:
            url = read_secret(self._channels[due.endpoint].url_file)
            require_receiver(url, self._settings.allow_private)
        except (SecretMissing, ValueError):
            raise SendFailed("teams_url_missing") from None
        return await self._outbound.post(
            url, _HEADERS, card, allow_private=self._settings.allow_private, seconds=self._settings.timeout
        )

    async def close(self) -> None:
        await self._outbound.close()


def message(said: Summary) -> bytes:
    """What is posted: a message with one card."""
    body = [_text(said.title, size="Large", weight="Bolder"), _text(said.standing)]
    body += [_labelled(name, value) for name, value in said.facts]
    if said.policies:
        body.append(_text("Held back by", weight="Bolder"))
        body += [_text(line) for line in said.policies]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": "A notice of Callgate",
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": said.action, "url": said.url}],
    }
    content_type = "application/vnd.microsoft.card.adaptive"
    attachments = [{"contentType": content_type, "contentUrl": None, "content": card}]
    written = json.dumps({"type": "message", "attachments": attachments}, ensure_ascii=False).encode()
    if len(written) > LIMIT:
        raise SendFailed("teams_message_too_long", final=True)
    return written


def _text(words: str, **style: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [_run(words, style)]}


def _labelled(name: str, value: str) -> dict[str, Any]:
    runs = [_run(f"{name}: ", {"weight": "Bolder"}), _run(value, {})]
    return {"type": "RichTextBlock", "spacing": "Small", "inlines": runs}


def _run(words: str, style: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "TextRun", "text": words, **style}
