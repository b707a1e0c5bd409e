"""A replayed call as readable lines."""

from collections.abc import Callable, Iterator, Mapping

from cli.output import printable
from contracts import events as e
from services.audit.views import Replayed, Step

_SHOWN = 2000
"""Characters of a payload on the screen; --json gives all of it."""


def replay_lines(replayed: Replayed) -> Iterator[str]:
    """The call's head line, then a line for each event."""
    requested = replayed.call.requested
    yield printable(f"{requested.function}  {replayed.call.ref}  {replayed.call.state}")
    for step in replayed.steps:
        at = f"{step.recorded.event.at:%H:%M:%S.%f}"[:-3]
        yield f"  {at}  {step.recorded.name:19} {printable(_TOLD[type(step.recorded.data)](step))}".rstrip()
    for alien in replayed.aliens:
        yield printable(f"  alien #{alien.sequence}: {alien.code} (no part of the chain)")
    yield ""


def _requested(step: Step) -> str:
    data = step.recorded.data
    assert isinstance(data, e.Requested)
    principal = data.principal
    return f"by {principal.id}" + (f" on behalf of {principal.on_behalf_of}" if principal.on_behalf_of else "")


def _arguments(step: Step) -> str:
    data = step.recorded.data
    assert isinstance(data, e.ArgumentsMasked)
    found = sorted({finding.entity for finding in data.findings})
    return " ".join(
        part
        for part in (
            _payload(step, "arguments"),
            f"found: {', '.join(found)}" if found else "",
            f"not inspectable: {', '.join(data.uninspectable)}" if data.uninspectable else "",
        )
        if part
    )


def _decision(step: Step) -> str:
    data = step.recorded.data
    assert isinstance(data, e.Allowed | e.Denied | e.ApprovalRequired)
    told = f"by {', '.join(data.policies)}" if data.policies else "by no policy"
    if isinstance(data, e.Allowed) and data.grant is not None:
        told += f", approved in advance by use {data.grant.number} of grant {data.grant.grant_id}{_granter(step)}"
    if isinstance(data, e.Denied):
        told += f" ({_stopped(data)})"
    if isinstance(data, e.ApprovalRequired):
        needed = "; ".join(
            f"{one.quorum} of {'each of ' if one.each else ''}{', '.join(one.approvers)}" for one in data.requirements
        )
        told += f": {needed}, until {data.expires_at:%Y-%m-%d %H:%M:%S}"
    return told


def _granter(step: Step) -> str:
    granted = step.granted
    if granted is None:
        return ""
    if "by" not in granted:
        return " (NOT PROVEN: its records are not there)"
    told = f", which {granted['by']} gave {granted['since'][:19]} until {granted['expires_at'][:19]}"
    if granted["revoked_at"]:
        told += f", revoked {granted['revoked_at'][:19]} by {granted['revoked_by']}"
    return told if granted["proven"] else f"{told} (NOT PROVEN: its records do not cover this call)"


def _vote(step: Step) -> str:
    data = step.recorded.data
    assert isinstance(data, e.VoteCast)
    reason = _payload(step, "reason")
    how = f"{', breaking the glass' if data.break_glass else ''}{', which changes their vote' if data.replaces else ''}"
    return f"{data.reviewer.id} votes to {data.decision}{how}" + (f": {reason}" if reason else "")


def _amended(step: Step) -> str:
    data = step.recorded.data
    assert isinstance(data, e.ArgumentsAmended)
    reason = _payload(step, "reason")
    return f"by {data.author.id}" + (f": {reason}" if reason else "")


def _execution(step: Step) -> str:
    data = step.recorded.data
    if isinstance(data, e.ExecutionStarted):
        return f"attempt {data.attempt} by {data.instance}"
    assert isinstance(data, e.ExecutionCompleted)
    return f"status {data.status}, {data.size} bytes in {data.duration_ms:.0f} ms"


def _settled(step: Step) -> str:
    data = step.recorded.data
    assert isinstance(data, e.OutcomeSettled)
    return f"{data.by.id} settles: {data.outcome}. {_payload(step, 'reason')}"


def _result(step: Step) -> str:
    data = step.recorded.data
    assert isinstance(data, e.ResultMasked)
    if data.withheld:
        return f"status {data.status} withheld: {data.withheld}"
    headers = _payload(step, "response_headers")
    return f"status {data.status} {_payload(step, 'response')}" + (f" headers: {headers}" if headers else "")


def _cancelled(step: Step) -> str:
    data = step.recorded.data
    assert isinstance(data, e.Cancelled)
    return f"by {data.by} ({_stopped(data)})"


def _by(step: Step) -> str:
    return f"by {getattr(step.recorded.data, 'by', '')}"


def _ended(step: Step) -> str:
    data = step.recorded.data
    assert isinstance(data, e.ExecutionFailed | e.OutcomeUnknown)
    return _stopped(data)


def _stopped(data: e.Denied | e.ExecutionFailed | e.OutcomeUnknown | e.Cancelled) -> str:
    """The code, and the freeze that it came by."""
    return f"{data.code} by freeze {data.freeze}" if data.freeze is not None else data.code


def _nothing(_: Step) -> str:
    return ""


def _payload(step: Step, name: str) -> str:
    if name in step.withheld:
        return f"[{step.withheld[name]}]"
    text = step.opened.get(name, b"").decode("utf-8", "replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


_TOLD: Mapping[type[e.EventData], Callable[[Step], str]] = {
    e.Requested: _requested,
    e.ArgumentsMasked: _arguments,
    e.Allowed: _decision,
    e.Denied: _decision,
    e.ApprovalRequired: _decision,
    e.VoteCast: _vote,
    e.Approved: _nothing,
    e.Rejected: _by,
    e.ApprovalExpired: _nothing,
    e.ArgumentsAmended: _amended,
    e.ExecutionStarted: _execution,
    e.ExecutionCompleted: _execution,
    e.ExecutionFailed: _ended,
    e.OutcomeUnknown: _ended,
    e.OutcomeSettled: _settled,
    e.ResultMasked: _result,
    e.Cancelled: _cancelled,
}
