"""What the agents' commands do, with `callgate.client` and nothing beside it."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Final
from uuid import uuid4

from callgate.client import Client, Event, Outcome, Problem, Unreachable
from callgate.errors import CallgateError, ConfigurationError
from cli import output
from cli.arguments import Given, arguments_of, properties_of, schemas_in, types_of
from cli.call_lines import moment
from cli.output import printable, styled

COMPLETED, ENDED, GOES_ON = 0, 1, 3
"""Exit codes."""

_COLOURS: Final = {"completed": "green", "denied": "red", "rejected": "red", "failed": "red", "unknown": "red"}
_SHOWN: Final = 4000
"""Characters of a result on the screen; --json gives all of them."""
_AT_ONCE: Final = 1.0
"""Seconds within which most calls are over; of one that is not, people are told how it stands."""
_ROUND: Final = 5.0
"""Seconds after which a call that goes on is looked at again."""


def client(url: str, token: str, session: str | None = None) -> Client:
    return Client(url, token, session=session)


def list_functions(callgate: Client, as_json: bool) -> None:
    with callgate:
        functions = callgate.functions()
    if as_json:
        output.say(json.dumps({"functions": functions}))
        return
    for function in functions:
        tags = f"  [{', '.join(map(printable, function['tags']))}]" if function["tags"] else ""
        output.say(f"{styled(printable(function['name']), 'cyan')}{tags}  {printable(function['description'])}")
        for name, schema in properties_of(function).items():
            needed = "" if name in function["input"].get("required", ()) else ", optional"
            about = f"  {printable(str(schema['description']))}" if schema.get("description") else ""
            output.say(f"    {printable(name)}: {_type_of(schema)}{needed}{about}")


def call(callgate: Client, function: str, given: Given, wait: float | None, key: str | None, *, as_json: bool) -> int:
    with callgate:
        functions = callgate.functions() if given.pairs else None
        arguments = arguments_of(given, schemas_in(functions or (), function))
        until = None if wait is None else time.monotonic() + wait
        at_once = _AT_ONCE if wait is None else min(wait, _AT_ONCE)
        try:
            outcome = _recorded(callgate, function, arguments, at_once, key)
        except Problem as problem:
            if problem.code != "bad_function":
                raise
            raise CallgateError(problem.code, f"{problem.detail}{_meant(callgate, function, functions)}") from None
        code = _show(_awaited(callgate, outcome, until), as_json)
        if outcome.code == "unknown_function" and (meant := _meant(callgate, function, functions)):
            output.aside(meant.removeprefix("; "))
        return code


def _meant(callgate: Client, function: str, functions: Sequence[Mapping[str, Any]] | None) -> str:
    """`; did you mean payments.refund?`, and nothing where no name is like the one that was typed."""
    names = [str(one["name"]) for one in (callgate.functions() if functions is None else functions)]
    by_end = [name for name in names if name.partition(".")[2] == function]
    near = by_end or get_close_matches(function, names, n=1)
    return f"; did you mean {' or '.join(map(printable, near))}?" if near else ""


def _recorded(callgate: Client, function: str, arguments: Mapping[str, Any], wait: float, key: str | None) -> Outcome:
    """The call once it is on record. The key is ours where none is given, so that the call can be taken up under it."""
    again = key or str(uuid4())
    taken_up = (
        f"whether it was recorded is not known: the same command with --key {printable(again)} runs nothing twice"
    )
    try:
        return callgate.call(function, arguments, timeout=wait, idempotency_key=again)
    except Unreachable as away:
        raise CallgateError(away.code, f"{away.detail}; {taken_up}") from None
    except KeyboardInterrupt:
        raise CallgateError("interrupted", taken_up) from None


def _awaited(callgate: Client, outcome: Outcome, until: float | None) -> Outcome:
    """The call once it is over, or the time is. How it stands is told on standard error, whenever that changes."""
    told = None
    with _interruptible(outcome.id):
        while not outcome.answered:
            left = _ROUND if until is None else min(_ROUND, until - time.monotonic())
            if left <= 0:
                break
            if (stands := _standing(outcome)) != told:
                first = f"; Ctrl-C leaves it running: callgate watch {printable(outcome.id)}" if told is None else ""
                output.aside(stands + first)
                told = stands
            outcome = callgate.wait(outcome, timeout=left)
    return outcome


@contextmanager
def _interruptible(call_id: str) -> Iterator[None]:
    """Ctrl-C ends the command and not the call."""
    try:
        yield
    except KeyboardInterrupt:
        output.aside(f"it goes on: `callgate watch {printable(call_id)}` takes it up")
        raise SystemExit(GOES_ON) from None


def _standing(outcome: Outcome) -> str:
    """`waiting for approval by sre, 0 of 1, until …`."""
    word, approvals = printable(outcome.status.replace("_", " ")), outcome.document.get("approvals")
    if outcome.status != "waiting_for_approval" or not approvals:
        return word
    needs = []
    for need in approvals["requirements"]:
        wanted = need["quorum"] * (len(need["groups"]) if need["each"] else 1)
        groups = (" and " if need["each"] else " or ").join(need["groups"])
        needs.append(printable(f"{groups}, {wanted - need['missing']} of {wanted}"))
    return f"{word} by {'; by '.join(needs)}, until {moment(approvals['expires_at'])}"


def list_calls(callgate: Client, as_json: bool) -> None:
    if callgate.session is None:
        raise ConfigurationError("no_session", "which session? Give --session, or set CALLGATE_SESSION")
    with callgate:
        outcomes = list(callgate.calls())
    if as_json:
        output.say(json.dumps({"calls": [dict(outcome.document) for outcome in outcomes]}))
        return
    for outcome in outcomes:
        status = styled(outcome.status.replace("_", " "), _COLOURS.get(outcome.status, "yellow"))
        by = f"  by freeze {printable(str(freeze))}" if (freeze := outcome.document.get("freeze")) else ""
        output.say(
            f"{outcome.document['at'][:19]}  {printable(outcome.function)}  {status}  {printable(outcome.id)}{by}"
        )
    if not outcomes:
        output.say("no call in this session yet")


def watch(callgate: Client, call_id: str, *, as_json: bool) -> int:
    with callgate, _interruptible(call_id):
        for event in callgate.events(call_id):
            output.say(json.dumps(dict(event.document)) if as_json else _line(event))
        return _show(callgate.wait(call_id, timeout=0), as_json)


def _type_of(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(printable(json.dumps(value)) for value in schema["enum"])
    return " or ".join(sorted(map(printable, types_of(schema)))) or "any"


def _show(outcome: Outcome, as_json: bool) -> int:
    if as_json:
        output.say(json.dumps(dict(outcome.document)))
    else:
        output.say("\n".join(_lines(outcome)))
    if not outcome.answered:
        return GOES_ON
    return COMPLETED if outcome.ok else ENDED


def _lines(outcome: Outcome) -> list[str]:
    """An outcome for the screen. Nothing that a function said may steer the terminal."""
    word = styled(outcome.status.replace("_", " "), _COLOURS.get(outcome.status, "yellow"), bold=True)
    status = outcome.function_status or 0
    said = f", the function answered {status}" if status >= 400 else ""
    lines = [f"{word}{said}  {printable(outcome.function)}  {printable(outcome.id)}"]
    if outcome.detail:
        lines.append(f"  {printable(outcome.detail)}")
    if outcome.reason:
        lines.append(f"  reason: {printable(outcome.reason)}")
    if outcome.policies:
        lines.append(printable(f"  by {', '.join(outcome.policies)}"))
    if outcome.document.get("freeze"):
        lines.append(f"  by freeze {printable(str(outcome.document['freeze']))}")
    if outcome.document.get("withheld"):
        lines.append(f"  the result is withheld: {printable(str(outcome.document['withheld']))}")
    elif outcome.ok and outcome.result is not None:
        text = json.dumps(outcome.result, indent=2, ensure_ascii=False)
        lines += ["  " + printable(line) for line in text[:_SHOWN].splitlines()]
        if len(text) > _SHOWN:
            lines.append(f"  … ({len(text)} characters; --json shows all)")
    if not outcome.answered:
        lines.append(f"  it goes on: `callgate watch {printable(outcome.id)}`")
    return lines


def _line(event: Event) -> str:
    about = {name: value for name, value in event.document.items() if name not in _COMMON and value not in ([], None)}
    more = "  " + printable(json.dumps(about, ensure_ascii=False)) if about else ""
    return f"{str(event.document.get('at', ''))[11:19]}  {printable(event.name)}{more}"


_COMMON: Final = frozenset({"id", "event", "sequence", "at"})
