"""Webhooks by the Standard Webhooks specification (https://www.standardwebhooks.com).

A message says what happened to which call, and where to look and to decide; never an argument, masked or not. Its id is
the same at every attempt, so a receiver can tell a repetition. It is made from the chain up to its event, so its bytes
are the same too.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from callgate.channel_settings import WebhookSettings
from contracts.events import (
    ArgumentsAmended,
    Cancelled,
    Denied,
    EventData,
    ExecutionFailed,
    OutcomeSettled,
    OutcomeUnknown,
    ResultMasked,
    VoteCast,
)
from contracts.lifecycle import Call
from contracts.model import rfc3339
from contracts.records import NoticeDue
from services.approval.channels import EVENT_TYPES, SendFailed, Told, Unneeded, as_of
from services.approval.domain import Question, question_of
from services.approval.outbound import Outbound
from services.approval.outcomes import Unsettled, unsettled_of
from services.approval.secret_files import SecretMissing, read_secret
from services.approval.words import call_url, settle_url

PREFIX = "webhook-"
_MARK = "whsec_"
"""Begins every secret."""
_SECRET_BYTES = range(24, 65)


class Webhooks:
    """`services.approval.channels.Medium`, an endpoint for each receiver. Close it in the end."""

    def __init__(
        self, settings: Sequence[WebhookSettings], clock: Callable[[], datetime], public_url: str, deployment: str
    ) -> None:
        self._settings = {PREFIX + one.name: one for one in settings}
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._deployment = deployment
        self._outbound = Outbound("webhook")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._settings)

    def retries(self, endpoint: str) -> Sequence[float]:
        return self._settings[endpoint].retries

    async def endpoints(self, told: Told) -> Iterable[str]:
        return [endpoint for endpoint, settings in self._settings.items() if _wants(settings, told)]

    async def send(self, due: NoticeDue, key: str, call: Call) -> int | None:
        settings = self._settings[due.endpoint]
        then = as_of(call, due.event_id)
        about = (question_of(then) or unsettled_of(then)) if then is not None else None
        if then is None or about is None:
            raise Unneeded("no_such_question")
        body = self._body(due.kind, then, about)
        message_id = f"msg_{key}_{settings.name}"
        headers = {"Content-Type": "application/json", "User-Agent": "Callgate-Webhooks/1"}
        headers |= signed(_secrets(settings), message_id, self._clock(), body)
        return await self._outbound.post(
            settings.url, headers, body, allow_private=settings.allow_private, seconds=settings.timeout
        )

    async def close(self) -> None:
        await self._outbound.close()

    def _body(self, kind: str, then: Call, about: Question | Unsettled) -> bytes:
        head = then.chain[-1]
        data: dict[str, Any] = {
            "deployment": self._deployment,
            "call": str(about.ref),
            "session": about.ref.session_id,
            "state": then.state,
            "event": {"id": head.event.event_id, "position": len(then.chain)},
            "function": about.function,
            "requester": about.requester.id,
            "on_behalf_of": about.requester.on_behalf_of,
            "digest": about.digest,
            "masked_digest": about.masked.digest,
            "findings": sorted(about.entities),
            **(self._asked(about) if isinstance(about, Question) else self._lost(about)),
        }
        if kind == OutcomeUnknown.NAME:
            data["links"]["settlement"] = f"{self._public_url}/v1/outcomes/{about.ref}/settlement"
        data |= _outcome(head.data)
        if kind == "glass_broken" and isinstance(about, Question) and about.broken_glass is not None:
            data["broken_by"] = about.broken_glass.reviewer
        at = rfc3339(head.event.at)
        return json.dumps({"type": EVENT_TYPES[kind], "timestamp": at, "data": data}).encode()

    def _asked(self, question: Question) -> dict[str, Any]:
        return {
            "policies": list(question.policies),
            "requirements": [_requirement(progress) for progress in question.progress],
            "asked_at": rfc3339(question.asked_at),
            "expires_at": rfc3339(question.expires_at),
            "links": {
                "page": call_url(self._public_url, question),
                "call": f"{self._public_url}/v1/approvals/{question.ref}",
                "votes": f"{self._public_url}/v1/approvals/{question.ref}/votes",
            },
        }

    def _lost(self, outcome: Unsettled) -> dict[str, Any]:
        """Of a call about which nobody was asked."""
        links = {
            "page": settle_url(self._public_url, outcome),
            "call": f"{self._public_url}/v1/outcomes/{outcome.ref}",
        }
        return {"attempts": outcome.attempts, "links": links}


def signed(secrets: Iterable[bytes], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of the specification; a signature for each secret, so that a receiver may hold any of them."""
    timestamp = str(int(at.timestamp()))
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def secret_bytes(text: str) -> bytes:
    """The key of `whsec_…`. SecretMissing for anything else: a weak secret is none."""
    try:
        secret = base64.b64decode(text.removeprefix(_MARK), validate=True)
    except (binascii.Error, ValueError):
        raise SecretMissing from None
    if not text.startswith(_MARK) or len(secret) not in _SECRET_BYTES:
        raise SecretMissing
    return secret


def _secrets(settings: WebhookSettings) -> list[bytes]:
    try:
        return [secret_bytes(read_secret(path)) for path in settings.secret_files]
    except SecretMissing:
        raise SendFailed("webhook_secret_missing") from None


def _wants(settings: WebhookSettings, told: Told) -> bool:
    kind = EVENT_TYPES.get(told.kind)
    return (
        kind is not None
        and (not settings.events or kind in settings.events)
        and (not settings.groups or not told.groups.isdisjoint(settings.groups))
        and (not settings.functions or told.about.function in settings.functions)
        and (not settings.requesters or told.about.requester.id in settings.requesters)
    )


def _requirement(progress: Any) -> dict[str, Any]:
    requirement = progress.requirement
    return {
        "approvers": list(requirement.approvers),
        "quorum": requirement.quorum,
        "each": requirement.each,
        "missing": progress.missing,
        "reason_required": requirement.reason_required,
    }


def _outcome(data: EventData | None) -> dict[str, Any]:
    """What the event itself adds: who, or why, in our own codes."""
    match data:
        case VoteCast():
            return {"reviewer": data.reviewer.id, "decision": data.decision}
        case Denied() | ExecutionFailed() | OutcomeUnknown():
            return {"code": data.code}
        case ArgumentsAmended():
            return {"by": data.author.id}
        case Cancelled():
            return {"by": data.by, "code": data.code}
        case OutcomeSettled():
            return {"by": data.by.id, "outcome": data.outcome}
        case ResultMasked():
            return {"status": data.status}
    by = getattr(data, "by", None)
    return {"by": by} if isinstance(by, str) else {}
