"""`callgate audit`: what happened, who decided, and whether the log is whole. Reads as the audit service."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from callgate.errors import ConfigurationError
from callgate.platform import Platform
from callgate.settings import load
from cli import audit_control, output
from cli.audit_opening import JsonOption, LimitOption, operator, print_json, projected, with_platform
from cli.options import DEFAULT_CONFIG, ConfigOption
from cli.replay_lines import replay_lines
from cli.session_names import one_session, session_ids
from contracts.subjects import CallRef
from services.audit.access import record_view
from services.audit.app import open_store
from services.audit.domain import Report
from services.audit.queries import STATES, WORDS, SessionFilter, find_calls, find_sessions, latest_calls
from services.audit.rebuilding import rebuild as rebuild_projection
from services.audit.store import Store
from services.audit.verifying import verify_log
from services.audit.views import replay as replay_chain
from services.audit.views import session_chains, shown_chain

app = typer.Typer(help="Find, replay and verify what happened.", no_args_is_help=True)
app.command()(audit_control.grants)
app.command()(audit_control.freezes)

FunctionOption = Annotated[str | None, typer.Option(help="Only calls of this function, e.g. payments.refund.")]
StateOption = Annotated[
    str | None,
    typer.Option(
        help="Only calls in this state: a status as agents are told it (completed, denied, …: docs/codes.md), or the "
        "name of the call's last event (result_masked, …)."
    ),
]
_NAMED = "or the name that its agent gave it (agents of the issuers in the configuration; by the audit database)"
PrincipalOption = Annotated[str | None, typer.Option(help="Only those of this agent.")]


@app.command()
def sessions(
    config: ConfigOption = DEFAULT_CONFIG,
    principal: PrincipalOption = None,
    function: FunctionOption = None,
    state: StateOption = None,
    since: Annotated[datetime | None, typer.Option(help="Only those active since then (UTC).")] = None,
    session: Annotated[str | None, typer.Option(help=f"Only this one: its id, {_NAMED}.")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List sessions, newest first, from the projection."""
    _check_state(state)
    ids = None if session is None else session_ids(load(config), session)
    wanted = SessionFilter(principal, function, state, since and since.replace(tzinfo=UTC), ids)
    found = projected(config, lambda store: find_sessions(store, wanted, None, limit))
    if as_json:
        print_json({"sessions": found})
        return
    for row in found:
        who = _person(row["principal"], row["on_behalf_of"])
        output.say(f"{row['began_at'][:19]}  {row['session_id']}  {output.count(row['calls'], 'call'):>11}  {who}")


@app.command()
def calls(
    session: Annotated[
        str | None, typer.Argument(help=f"Only those of this session, in order: its id, {_NAMED}.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    principal: PrincipalOption = None,
    function: FunctionOption = None,
    state: StateOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List calls, newest first, from the projection."""
    _check_state(state)
    ids = (None,) if session is None else session_ids(load(config), session)

    def query(store: Store) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for one in ids:
            if one is not None and (principal, function, state) == (None, None, None):
                found += find_calls(store, one, limit)
            else:
                found += latest_calls(store, limit, state=state, session_id=one, principal=principal, function=function)
        return found[:limit]

    found = projected(config, query)
    if as_json:
        print_json({"calls": found})
        return
    for row in found:
        why = ", ".join([*([row["code"]] if row["code"] else []), *row["policies"]])
        line = f"{row['began_at'][:19]}  {row['state']:18} {row['function']:28} {row['id']}  {why}"
        output.say(output.printable(line.rstrip()))


@app.command()
def show(
    call: Annotated[str, typer.Argument(help="The call's id, as POST /v1/calls returned it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show every event of a call with its digest, what it follows, and the key that signed it, from the log."""
    try:
        ref = CallRef.parse(call)
    except ValueError as wrong:
        raise ConfigurationError("bad_call_id", str(wrong)) from None

    async def work(platform: Platform) -> int:
        if ref.partition not in platform.partitions:
            raise ConfigurationError("no_such_call", "there is no such call")
        chain = await platform.log.read(ref)
        if not chain.last_sequence:
            raise ConfigurationError("no_such_call", "there is no such call")
        await record_view(
            platform.records, platform.clock(), operator(), ref.session_id, ref.call_id, what="events", by="command"
        )
        shown = shown_chain(chain, platform.ring)
        if as_json:
            print_json(shown)
            return 0
        output.say(f"{shown['id']}  {shown['state']}")
        for event in shown["events"]:
            output.say(_event_line(event))
        return 0

    with_platform(config, work)


@app.command()
def replay(
    session: Annotated[str, typer.Argument(help=f"The session's id, s_…, {_NAMED}.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Tell a session again, in order, from the log: functions, masked arguments, decisions, approvers, responses."""
    session = one_session(load(config), session)

    async def work(platform: Platform) -> int:
        chains = await session_chains(platform.log, platform.partitions, session)
        if not chains:
            raise ConfigurationError("no_such_session", "there is no such session")
        await record_view(platform.records, platform.clock(), operator(), session, what="replay", by="command")
        replayed = [await replay_chain(chain, platform.sealer, platform.records) for chain in chains]
        if as_json:
            print_json({"session_id": session, "calls": [one.shown() for one in replayed]})
            return 0
        for one in replayed:
            for line in replay_lines(one):
                output.say(line)
        return 0

    with_platform(config, work)


@app.command()
def verify(
    config: ConfigOption = DEFAULT_CONFIG,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on alien messages too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check every signature, role, digest, transition and sequence on the log itself; exits 1 where one fails."""

    async def work(platform: Platform) -> int:
        report = await verify_log(platform, _silent if as_json else _progress)
        if as_json:
            print_json(shown_report(report, strict))
        else:
            for line in report_lines(report):
                output.say(line)
        return 0 if report.passes(strict=strict) else 1

    with_platform(config, work)


@app.command()
def rebuild(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Drop the projection and fill it anew from the log; the audit service may go on meanwhile."""

    async def work(platform: Platform) -> int:
        store = open_store(platform.settings)
        try:
            count = await rebuild_projection(platform, store, _silent if as_json else _progress)
        finally:
            store.close()
        if as_json:
            print_json({"messages": count})
        else:
            output.say(f"the projection was filled from {output.count(count, 'message')}")
        return 0

    with_platform(config, work)


def shown_report(report: Report, strict: bool) -> dict[str, Any]:
    """A verification's result for JSON."""
    first = report.first_failure
    return {
        "passes": report.passes(strict=strict),
        "intact": report.intact,
        **{name: getattr(report, name) for name in ("events", "calls", "complete", "aliens", "failures")},
        "first_failure": first and _shown_finding(first),
        "listed_failures": [_shown_finding(found) for found in report.listed_failures],
        "listed_aliens": [_shown_finding(found) for found in report.listed_aliens],
        "deviations": [_shown_finding(found) for found in report.deviations],
    }


def report_lines(report: Report) -> list[str]:
    """A verification's result for people, its verdict last."""
    lines = [f"alien      {output.printable(str(found))}" for found in report.listed_aliens]
    lines += [f"deviation  {found}" for found in report.deviations]
    lines += [f"failure    {output.printable(str(found))}" for found in report.listed_failures]
    events, calls = output.count(report.events, "event"), output.count(report.calls, "call")
    lines.append(f"{events}, {calls}, {output.count(report.complete, 'chain')} complete")
    aliens = output.count(report.aliens, "alien") if report.aliens else "no aliens"
    if report.first_failure is not None:
        lines.append(f"NOT INTACT: the first that fails is {output.printable(str(report.first_failure))}; {aliens}")
    elif report.deviations:
        lines.append(f"NOT SAFE: streams are not set as they must be; chains intact, {aliens}")
    else:
        lines.append(f"chains intact, {aliens}")
    return lines


def _event_line(event: dict[str, Any]) -> str:
    place = "" if event["place"] == "chain" else f"  ALIEN: {event['code']}"
    if "digest" not in event:
        return output.printable(f"{event['sequence']:>8}  {event['recorded_at'][:23]}  {event['subject']}{place}")
    signed = f"{event['role']} {event['key_id']}"
    proof = f"{event['digest'][:16]} follows {event['follows'][:16]}  {signed}"
    return f"{event['sequence']:>8}  {event['recorded_at'][:23]}  {event['event']:20} {proof}{place}"


def _shown_finding(found: Any) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("stream", "sequence", "subject", "code")}


def _person(principal: str, on_behalf_of: str | None) -> str:
    return output.printable(principal if on_behalf_of is None else f"{principal} for {on_behalf_of}")


def _check_state(state: str | None) -> None:
    if state is not None and state not in WORDS:
        statuses, events = ", ".join(sorted(WORDS - STATES)), ", ".join(sorted(STATES))
        raise ConfigurationError("unknown_state", f"--state is a status ({statuses}) or a call's last event ({events})")


def _silent(stream: str, sequence: int, last: int) -> None:
    del stream, sequence, last


def _progress(stream: str, sequence: int, last: int) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{stream} {sequence}/{last} ", nl=sequence == last, err=True)
