"""Outcomes as language models read them: what came of a call, what to do next, and what not to do. Pure.

A model acts on what it is told. So every answer says whether something was run, why, and whether calling again helps.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from callgate.jsontext import dump, parse
from services.ingress.carried import is_carried, text_in
from services.ingress.refusals import TELL

FINDINGS_TOLD = 20
CHANGES_TOLD = 20
"""Of each amendment."""
VALUE_TOLD = 200
"""Characters of a value, and of a reason five times as many."""
_NOT_AGAIN = "Do not make the same call again: the answer would be the same."
_CHANGE = "Change the arguments as said here and call again."
_LATER = "You may make the same call again later."

_NEXT: Mapping[str, str] = {
    # denied
    "frozen": _LATER,
    "input_invalid": _CHANGE,
    "number_precision": _CHANGE,
    "number_range": _CHANGE,
    "integer_range": _CHANGE,
    "wrong_type": _CHANGE,
    "unknown_attribute": _CHANGE,
    "untypable": _CHANGE,
    "too_deep": _CHANGE,
    "mixed_array": _CHANGE,
    "not_unicode": _CHANGE,
    "number_not_finite": _CHANGE,
    "uninspectable": _CHANGE,
    "token_invalid": _CHANGE,
    "token_not_allowed": _CHANGE,
    "patch_does_not_apply": "Make the same call once more.",
    "forbidden": f"{_NOT_AGAIN} Other arguments may be allowed.",
    # failed, certainly without effect
    "function_changed": "Make the same call once more.",
    "grant_invalid": "Make the same call once more.",
    "deadline_passed": "Make the same call once more.",
    "connection_refused": _LATER,
    "connect_failed": _LATER,
    "connect_timeout": _LATER,
    "settled_as_not_done": _LATER,
}
_ELSE: Mapping[str, str] = {
    "denied": f"{_NOT_AGAIN} {TELL}",
    "rejected": "Do not make the same call again unless what the reviewer said is met.",
    "expired": "",
    "failed": TELL,
    "unknown": f"Do not make the same call again: it may have happened already. {TELL}",
    "cancelled": "",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a tool call."""

    text: str
    """For the model; the function's own answer as it came (masked) where there is one."""
    is_error: bool
    notes: str | None = None
    """What Callgate adds to a function's own answer."""
    body: Any = None
    """The function's answer as a JSON value, where it is JSON."""
    has_body: bool = False


def answer_of(document: Mapping[str, Any]) -> Answer:
    """The answer that an outcome document is; for one that is known only. A function's status of 400 and above is an
    error, as the function itself says."""
    if document["status"] != "completed":
        return Answer(_refusal(document), is_error=True)
    result = document["result"]
    status = result.get("status")
    is_error = isinstance(status, int) and status >= 400
    withheld = document.get("withheld")
    if withheld is not None:
        text = (
            f"The function was run and answered (status {status}), but its answer is not shown: {withheld}. "
            "Do not make the same call again to see it."
        )
        return Answer(text, is_error, " ".join(_people(document)) or None)
    text, body, has_body = _body(result.get("body"))
    if is_carried(result, body):
        return Answer(text_in(body), is_error, _notes(None, document), body, has_body)
    return Answer(text, is_error, _notes(status if is_error else None, document), body, has_body)


def _body(body: Any) -> tuple[str, Any, bool]:
    """The text of a body, and its value where it is JSON."""
    if body is None:
        return "(no content)", None, False
    if isinstance(body, str):
        return body, None, False
    text = orjson.dumps(body).decode()
    return text, json.loads(text, parse_float=_float, parse_constant=str), True


def _float(text: str) -> float | str:
    """A number beyond what a float holds stays a text, since JSON has no infinity."""
    number = float(text)
    return number if math.isfinite(number) else text


def _notes(status: int | None, document: Mapping[str, Any]) -> str | None:
    notes = [f"The function answered with an error, status {status}."] if status is not None else []
    notes += _people(document)
    findings: Sequence[Mapping[str, str]] = document.get("findings", ())
    if findings:
        places = list(dict.fromkeys(f"{one['entity']} at {one['path'] or '/'}" for one in findings))
        more = f", and {len(places) - FINDINGS_TOLD} more" if len(places) > FINDINGS_TOLD else ""
        notes.append(f"Callgate masked part of this answer: {', '.join(places[:FINDINGS_TOLD])}{more}.")
    return " ".join(notes) or None


def _people(document: Mapping[str, Any]) -> list[str]:
    """What people did about the call: a model that goes by what it asked for would draw the wrong conclusions."""
    notes = [_amendment(one) for one in document.get("amendments", ())]
    if "settlement" in document and document.get("detail"):
        notes.append(document["detail"])
    return notes


def _amendment(amendment: Mapping[str, Any]) -> str:
    changed: Any = parse(orjson.dumps(amendment.get("changes", [])), numbers="lossless")  # as they stand in the views
    told = [f"{one['path'] or '/'}: {_side(one, 'before')} → {_side(one, 'after')}" for one in changed[:CHANGES_TOLD]]
    if len(changed) > CHANGES_TOLD or amendment.get("more"):
        told.append("and more")
    what = f" ({'; '.join(told)})" if told else ""
    reason = f" They said: {_cut(amendment['reason'], 5 * VALUE_TOLD)}" if amendment.get("reason") else ""
    return f"A reviewer changed the arguments before this was run{what}; the answer is to those.{reason}"


def _side(change: Mapping[str, Any], side: str) -> str:
    return _cut(dump(change[side]).decode(), VALUE_TOLD) if side in change else "nothing"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def _refusal(document: Mapping[str, Any]) -> str:
    status, code = document["status"], document.get("code")
    parts = [f"{_HEADS.get(status, status)}{f' ({code})' if code else ''}."]
    parts += [document["detail"]] if document.get("detail") else []
    if document.get("policies"):
        parts.append(f"Policies: {', '.join(document['policies'])}.")
    if status == "expired" and _unmet(document):
        parts.append(f"Had approved: {'; '.join(map(_who, _unmet(document)))}.")
    if document.get("reason"):
        parts.append(f"The reviewer said: {document['reason']}")
    following = _NEXT.get(code or "") or _ELSE.get(status, "")
    return " ".join([*parts, *([following] if following else []), f"Call id: {document['id']}."])


_HEADS: Mapping[str, str] = {
    "denied": "Denied, and not run",
    "rejected": "Rejected by a reviewer, and not run",
    "expired": "Expired without approval, and not run",
    "failed": "Failed, certainly without effect",
    "unknown": "Outcome unknown: it may have happened",
    "cancelled": "Withdrawn, and not run",
}


def standing(document: Mapping[str, Any]) -> str:
    """How a call stands that has no answer yet: "waiting for approval by finance, 0 of 2, until 10:15 UTC on …"."""
    if document["status"] == "waiting_for_approval":
        waits = [f"{_who(one)}, until {_clock(one['expires_at'])}" for one in _unmet(document)]
        return " by ".join(["waiting for approval", *(["; ".join(waits)] if waits else [])])
    return _STANDING.get(document["event"], "on its way")


_STANDING: Mapping[str, str] = {
    "requested": "recorded; it is being checked",
    "arguments_masked": "being judged by policy",
    "approved": "approved; judged once more",
    "allowed": "allowed; about to be run",
    "execution_started": "being run",
    "execution_completed": "run; its result is being masked",
}


def _unmet(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in document.get("approvals", {}).get("requirements", ()) if one["missing"]]


def _who(requirement: Mapping[str, Any]) -> str:
    """Of whom how many approved: "finance, 0 of 2"."""
    groups, quorum, missing = requirement["groups"], requirement["quorum"], requirement["missing"]
    people = quorum * len(groups) if requirement.get("each") else quorum
    who = (" and " if requirement.get("each") else " or ").join(groups)
    return f"{who}, {max(people - missing, 0)} of {people}"


def _clock(at: str) -> str:
    """The minute of an RFC 3339 time, its day as well: reviewers may have weeks."""
    day, _, time = at.partition("T")
    return f"{time[:5]} UTC on {day}"
