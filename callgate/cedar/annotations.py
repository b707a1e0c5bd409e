"""What a policy's annotations ask of people, where it holds a call back.

| annotation | means | default |
|---|---|---|
| `@approvers("sre,security")` | the groups that are asked | nobody may approve |
| `@quorum("2")`, `@quorum("each")`, `@quorum("2 each")` | so many of any of them; one, or so many, of each | `1` |
| `@rejections("2")` | how many must reject to end it | `1` |
| `@expires("15m")` | how long people have | `1h` |
| `@remind("5m")`, `@remind("never")` | how long before the end they are reminded | a third, at least 1m |
| `@escalate("finance-leads,10m")` | groups that may approve as well after that time | |
| `@justification("required")` | an approval needs a reason | |
| `@break_glass("incident-commanders")` | groups, any member of which may approve alone, with a reason | |
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.events import Escalation, Requirement

_OF_APPROVAL = ("quorum", "rejections", "expires", "remind", "escalate", "justification", "break_glass")
_KNOWN = ("id", "reason", "approvers", *_OF_APPROVAL)
_ALIKE = 0.8
"""From this ratio on, an unknown annotation is taken for a misspelt one: it would leave its default in force."""
_NUMBER = r"[1-9][0-9]{0,2}"
_QUORUM = re.compile(rf"(?:({_NUMBER})(?: each)?|each)", re.ASCII)
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=365)
_SHORTEST_REMINDER = timedelta(minutes=1)


class BadAnnotation(Exception):
    """An annotation that says nothing; `message` is for the policy's author."""

    def __init__(self, message: str, policy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.policy = policy


@dataclass(frozen=True, slots=True)
class Approval:
    """What people must do before what the policy holds back may run. Durations count from the question."""

    approvers: tuple[str, ...]
    quorum: int
    each: bool
    rejections: int
    expires: timedelta
    remind: timedelta | None
    """Before the expiry."""
    escalate: tuple[tuple[str, ...], timedelta] | None
    reason_required: bool
    break_glass: tuple[str, ...]

    def requirement(self, policy: str, asked_at: datetime) -> Requirement:
        """The same as an event carries it, for a question of that time."""
        expires_at = asked_at + self.expires
        return Requirement(
            policies=(policy,),
            approvers=self.approvers,
            quorum=self.quorum,
            expires_at=expires_at,
            each=self.each,
            rejections=self.rejections,
            reason_required=self.reason_required,
            remind_at=expires_at - self.remind if self.remind else None,
            escalation=Escalation(approvers=self.escalate[0], at=asked_at + self.escalate[1])
            if self.escalate
            else None,
            break_glass=self.break_glass,
        )


def approval_of(annotations: Mapping[str, str]) -> Approval | None:
    """What the annotations of one policy ask; None where they name nobody. BadAnnotation."""
    _check_names(annotations)
    if "approvers" not in annotations:
        idle = [f"@{name}" for name in _OF_APPROVAL if name in annotations]
        if idle:
            says = "says" if len(idle) == 1 else "say"
            raise BadAnnotation(f"{' and '.join(idle)} {says} nothing without @approvers")
        return None
    approvers = _groups(
        annotations["approvers"], '@approvers names groups, separated by commas: @approvers("sre,security")'
    )
    quorum, each = _quorum(annotations.get("quorum", "1"))
    expires = _duration(annotations.get("expires", "1h"))
    if expires is None:
        raise BadAnnotation('@expires is a duration in s, m, h or d, a year at most: @expires("15m")')
    return Approval(
        approvers=approvers,
        quorum=quorum,
        each=each,
        rejections=_rejections(annotations.get("rejections", "1")),
        expires=expires,
        remind=_remind(annotations.get("remind"), expires),
        escalate=_escalate(annotations.get("escalate"), expires, approvers),
        reason_required=_justification(annotations.get("justification")),
        break_glass=_break_glass(annotations.get("break_glass")),
    )


def _check_names(annotations: Mapping[str, str]) -> None:
    """A rule that is misspelt would be ignored in silence, and another one kept."""
    for name in annotations:
        alike = [] if name in _KNOWN else difflib.get_close_matches(name.lower(), _KNOWN, 1, _ALIKE)
        if alike:
            raise BadAnnotation(f"@{name} is no annotation of Callgate's; did you mean @{alike[0]}?")
    if annotations.get("reason", "").strip().lower() == "required":
        raise BadAnnotation(
            '@reason says why the policy is there; reviewers must say why by @justification("required")'
        )


def _groups(text: str, problem: str) -> tuple[str, ...]:
    groups = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if "" in groups:
        raise BadAnnotation(problem)
    return groups


def _quorum(text: str) -> tuple[int, bool]:
    match = _QUORUM.fullmatch(text)
    if match is None:
        problem = '@quorum is a number of people, of any of the groups or of each: @quorum("2"), @quorum("each"), '
        raise BadAnnotation(problem + '@quorum("2 each")')
    return int(match[1] or 1), text.endswith("each")


def _rejections(text: str) -> int:
    if not re.fullmatch(_NUMBER, text, re.ASCII):
        raise BadAnnotation('@rejections is the number of people who end it by rejecting: @rejections("2")')
    return int(text)


def _duration(text: str) -> timedelta | None:
    match = _DURATION.fullmatch(text)
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    return duration if duration is not None and duration <= _LONGEST else None


def _remind(text: str | None, expires: timedelta) -> timedelta | None:
    if text is None:
        before = max(expires / 3, _SHORTEST_REMINDER)
        return before if before < expires else None
    if text == "never":
        return None
    wanted = _duration(text)
    if wanted is None or wanted >= expires:
        raise BadAnnotation('@remind is how long before @expires people are reminded, or never: @remind("5m")')
    return wanted


def _escalate(
    text: str | None, expires: timedelta, approvers: tuple[str, ...]
) -> tuple[tuple[str, ...], timedelta] | None:
    if text is None:
        return None
    problem = (
        '@escalate names groups, and after what time before @expires they are asked: @escalate("finance-leads,10m")'
    )
    names, _, after = text.rpartition(",")
    duration = _duration(after.strip())
    if duration is None or duration >= expires:
        raise BadAnnotation(problem)
    groups = _groups(names, problem)
    if set(groups) <= set(approvers):
        raise BadAnnotation("@escalate names only groups that @approvers asks from the start")
    return groups, duration


def _justification(text: str | None) -> bool:
    if text not in (None, "required"):
        raise BadAnnotation('@justification is "required", or is left out')
    return text is not None


def _break_glass(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    return _groups(text, '@break_glass names groups, separated by commas: @break_glass("incident-commanders")')
