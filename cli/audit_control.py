"""`callgate audit grants` and `freezes`: what people decided ahead of calls, in force or over."""

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from callgate.platform import Platform
from cli import output
from cli.audit_opening import JsonOption, LimitOption, operator, print_json, projected, with_platform
from cli.options import DEFAULT_CONFIG, ConfigOption
from cli.output import printable
from services.audit.access import ALL_SESSIONS, record_view
from services.audit.control_queries import FreezeFilter, GrantFilter, Standing, find_freezes, find_grants
from services.audit.reasons import Kind, Reasons, with_reasons
from services.audit.rows import Row


class State(StrEnum):
    """As a choice of the command line."""

    IN_FORCE = "in-force"
    ENDED = "ended"


_STANDING: dict[State | None, Standing | None] = {None: None, State.IN_FORCE: "in_force", State.ENDED: "ended"}

StateOption = Annotated[State | None, typer.Option(help="Only those in force, or those that ended or are used up.")]


def grants(
    config: ConfigOption = DEFAULT_CONFIG,
    state: StateOption = None,
    agent: Annotated[str | None, typer.Option(help="Only those for this agent.")] = None,
    function: Annotated[str | None, typer.Option(help="Only those for this function.")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List grants, newest first: who gave them to whom, the calls that went by each, and who ended it."""

    async def work(platform: Platform) -> int:
        wanted = GrantFilter(platform.clock(), _STANDING[state], agent, function)
        found = projected(config, lambda store: find_grants(store, wanted, None, limit))
        await _show(platform, "grant", found, _grant_lines, as_json)
        return 0

    with_platform(config, work)


def freezes(
    config: ConfigOption = DEFAULT_CONFIG,
    state: StateOption = None,
    target: Annotated[str | None, typer.Option(help="Only those of this agent, session, function, …")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List freezes, newest first: who froze what, the calls that it stopped, and who lifted it."""

    async def work(platform: Platform) -> int:
        wanted = FreezeFilter(platform.clock(), _STANDING[state], target)
        found = projected(config, lambda store: find_freezes(store, wanted, None, limit))
        await _show(platform, "freeze", found, _freeze_lines, as_json)
        return 0

    with_platform(config, work)


async def _show(
    platform: Platform, kind: Kind, found: list[Row], lines: Callable[[Row], list[str]], as_json: bool
) -> None:
    many = f"{kind}s"
    await record_view(
        platform.records, platform.clock(), operator(), ALL_SESSIONS, what=many, shown=len(found), by="command"
    )
    shown = await with_reasons(Reasons(platform.records, platform.sealer), kind, found)
    if as_json:
        print_json({many: shown})
        return
    for row in shown:
        for line in lines(row):
            output.say(printable(line))
    output.say(_counted(shown, kind))


def _counted(shown: list[Row], kind: Kind) -> str:
    in_force = sum(row["state"] == "in_force" for row in shown)
    return f"{output.count(len(shown), kind)}, {in_force} in force" if shown else f"no {kind}s"


def _grant_lines(row: Row) -> list[str]:
    user = f" for {row['on_behalf_of']}" if row["on_behalf_of"] else ""
    session = f" in {row['session']}" if row["session"] else ""
    lines = [
        f"{row['id']}  {row['state'].replace('_', ' ')}",
        f"  {row['function']} by {row['agent'] or 'anybody'}{user}{session}, {row['used']} of {row['uses']} used",
    ]
    if row["conditions"]:
        lines.append(f"  where {json.dumps(row['conditions'], ensure_ascii=False)}")
    lines.append(f"  granted {_time(row['since'])} by {row['by']} until {_time(row['expires_at'])}: {_reason(row)}")
    lines += [f"  {_time(use['at'])} use {use['number']}: {use['call']}" for use in row["calls"]]
    if row["revoked_at"]:
        lines.append(f"  revoked {_time(row['revoked_at'])} by {row['revoked_by']}")
    return lines


def _freeze_lines(row: Row) -> list[str]:
    target = f" {row['target']}" if row["target"] else ""
    issuer = f" of {row['issuer']}" if row["issuer"] else ""
    until = f" until {_time(row['expires_at'])}" if row["expires_at"] else ""
    lines = [
        f"{row['id']}  {row['state'].replace('_', ' ')}",
        f"  {row['scope']}{target}{issuer}",
        f"  frozen {_time(row['since'])} by {row['by']}{until}: {_reason(row)}",
    ]
    stopped: dict[str, Any] = row["stopped"]
    lines += [f"  {_time(call['at'])} stopped {call['id']} ({call['state']})" for call in stopped["calls"]]
    if stopped["count"] > len(stopped["calls"]):
        lines.append(f"  and {stopped['count'] - len(stopped['calls'])} more")
    if row["lifted_at"]:
        lines.append(f"  lifted {_time(row['lifted_at'])} by {row['lifted_by']}")
    return lines


def _reason(row: Row) -> str:
    return row["reason"] or "(reason erased)"


def _time(text: str) -> str:
    return text[:19]
