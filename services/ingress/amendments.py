"""What the agent is told of reviewers who changed its arguments: who, when, why, and which masked values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from callgate.json_patch import changes
from callgate.jsontext import JsonTextError, dump, parse
from contracts.events import ArgumentsAmended, ArgumentsMasked, Recorded
from contracts.lifecycle import Call
from contracts.model import rfc3339
from services.ingress.domain import Secret

_TOLD = 100
"""Changes of one amendment."""


@dataclass(frozen=True, slots=True)
class Amendment:
    """One amendment, and what must be opened to tell of it: why, and the views before and after, as far as they are."""

    author: str
    at: str
    reason: Secret | None
    before: Secret | None
    after: Secret | None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        return tuple(secret for secret in (self.reason, self.before, self.after) if secret is not None)


def amendments_of(call: Call) -> tuple[Amendment, ...]:
    """Every amendment of a call, in order."""
    found: list[Amendment] = []
    view: Secret | None = None
    chain = iter(call.chain)
    for recorded in chain:
        if isinstance(recorded.data, ArgumentsMasked):
            view = _view(recorded)
        elif isinstance(recorded.data, ArgumentsAmended):
            data, before, answer = recorded.data, view, next(chain, None)
            view = _view(answer) if answer is not None else None
            reason = Secret(data.reason, recorded.event.event_id, "reason") if data.reason else None
            found.append(Amendment(data.author.id, rfc3339(recorded.event.at), reason, before, view))
    return tuple(found)


def told(amendment: Amendment, opened: Mapping[Secret, bytes]) -> dict[str, Any]:
    """The amendment in the outcome document, without what does not open: `by`, `at`, `reason`, and `changes` as they
    stand in the views, each number as it came; `more` where there are more changes than that."""
    secrets = (amendment.reason, amendment.before, amendment.after)
    reason, before, after = (opened.get(secret) if secret is not None else None for secret in secrets)
    document: dict[str, Any] = {"by": amendment.author, "at": amendment.at}
    if reason is not None:
        document["reason"] = reason.decode("utf-8", "replace")
    if before is None or after is None:
        return document
    try:
        found = changes(parse(before, numbers="lossless"), parse(after, numbers="lossless"), _TOLD + 1)
    except JsonTextError:
        return document
    document["changes"] = orjson.Fragment(dump([change.as_json() for change in found[:_TOLD]]))
    return document | ({"more": True} if len(found) > _TOLD else {})


def _view(recorded: Recorded) -> Secret | None:
    """None of an answer that is no masking (the call was withdrawn), or where nothing could be masked."""
    data = recorded.data
    if not isinstance(data, ArgumentsMasked) or data.view is None:
        return None
    return Secret(data.view, recorded.event.event_id, "view")
