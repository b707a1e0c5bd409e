"""What the commands of `control_commands` do: freezes and grants over the public HTTP API."""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from callgate.errors import CallgateError, ConfigurationError
from cli import output
from cli.api import Api, Away, Refused
from cli.call_lines import moment
from cli.output import printable, styled


def freeze_body(
    agent: str | None,
    session: str | None,
    function: str | None,
    connection: str | None,
    everything: bool,
    issuer: str | None,
) -> dict[str, Any]:
    """Scope and target of the options. ConfigurationError unless they name exactly one."""
    named = {"agent": agent, "session": session, "function": function, "connection": connection}
    given = [(scope, target) for scope, target in named.items() if target is not None]
    if len(given) + everything != 1:
        raise ConfigurationError(
            "one_scope", "say what to freeze: one of --agent, --session, --function, --connection or --all"
        )
    if issuer is not None and agent is None:
        raise ConfigurationError("issuer_of_agent", "--issuer goes with --agent")
    scope, target = given[0] if given else ("everything", None)
    return {"scope": scope, "target": target} | ({"issuer": issuer} if issuer is not None else {})


async def freeze(url: str, token: str, body: dict[str, Any], as_json: bool) -> int:
    async def work(api: Api) -> None:
        frozen = await api.post("/v1/freezes", body)
        if as_json:
            output.say(json.dumps(frozen))
            return
        waiting = frozen["cancelling"]
        output.say(f"{styled('frozen', 'red', bold=True)}: {_what(frozen)}{_until(frozen)}")
        if waiting:
            calls = "1 call that waits" if waiting == 1 else f"{waiting} calls that wait"
            output.say(f"  it stops {calls} for approval, which are cancelled now")
        else:
            output.say("  nothing that waits for approval is in its scope; what comes to wait is cancelled")
        if not frozen["seen"]:
            output.say(f"  no call of this {frozen['scope']} waits or was decided on lately: is the name right?")
        output.say(f"  `callgate unfreeze {printable(frozen['id'])}` lifts it")

    return await asked(url, token, work, "whether it is frozen, `callgate freezes` tells")


async def list_freezes(url: str, token: str, as_json: bool) -> int:
    async def work(api: Api) -> None:
        document = await api.get("/v1/freezes")
        if as_json:
            output.say(json.dumps(document))
            return
        for item in document["freezes"]:
            output.say(styled(printable(item["id"]), "cyan"))
            output.say(f"  {_what(item)}, since {moment(item['since'])} by {printable(item['by'])}{_until(item)}")
            output.say(f"  {printable(item['reason']) if item['reason'] else '(reason erased)'}")
        output.say(
            f"{len(document['freezes'])} in force"
            if document["freezes"]
            else "nothing is frozen that you may freeze or lift"
        )

    return await asked(url, token, work)


async def unfreeze(url: str, token: str, freeze_id: str, as_json: bool) -> int:
    async def work(api: Api) -> None:
        lifted = await api.delete(f"/v1/freezes/{quote(freeze_id, safe='')}")
        if as_json:
            output.say(json.dumps(lifted))
            return
        output.say(f"{styled('lifted', 'green', bold=True)}: {_what(lifted)}; what was cancelled stays cancelled")

    return await asked(url, token, work, "whether it is lifted, `callgate freezes` tells")


_CONDITION = re.compile(r"\s*([^<>=!|]+?)\s*(<=|>=|!=|=|<|>)\s*(.+?)\s*")
_COMPARISONS = {"<=": "lte", ">=": "gte", "!=": "ne", "=": "eq", "<": "lt", ">": "gt"}


def conditions(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """`amount<=40` → {"amount": {"lte": 40}}; `currency=USD|EUR` → {"currency": {"in": […]}}. ConfigurationError."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise ConfigurationError("bad_condition", "--when takes e.g. 'amount<=40', 'currency=USD|EUR'")
        name, comparison, values = match[1], _COMPARISONS[match[2]], [_value(part) for part in match[3].split("|")]
        if len(values) > 1:
            if comparison != "eq":
                raise ConfigurationError("bad_condition", "several values, as in 'currency=USD|EUR', go with = alone")
            comparison = "in"
        tests = found.setdefault(name, {})
        if comparison in tests:
            raise ConfigurationError("bad_condition", "a parameter is compared twice in the same way")
        tests[comparison] = values if comparison == "in" else values[0]
    return found


def _value(text: str) -> Any:
    """A number or a boolean where it reads as one, a text otherwise; quotes make it a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text.strip()
    return value if isinstance(value, str | int | float) else text.strip()


def grant_scope(call_id: str | None, same_session: bool, named: Mapping[str, str | None]) -> dict[str, Any]:
    """Whose calls of which function. ConfigurationError unless it is a call, or an agent and a function."""
    given = {name: value for name, value in named.items() if value is not None}
    if call_id is not None:
        if given:
            raise ConfigurationError("one_scope", "a call says itself whose it is; leave the other options out")
        return {"call": call_id, "bind": "session" if same_session else "agent"}
    if same_session or not {"agent", "function"} <= given.keys():
        raise ConfigurationError("one_scope", "name a call that waits, or --agent and --function")
    return given


async def grant(url: str, token: str, body: dict[str, Any], as_json: bool) -> int:
    async def work(api: Api) -> None:
        granted = await api.post("/v1/grants", body)
        if as_json:
            output.say(json.dumps(granted))
            return
        output.say(f"{styled('granted', 'green', bold=True)}: {_granted(granted)}")
        output.say("\n".join(f"  {printable(line)}" for line in granted["policy"].splitlines()))
        output.say(f"  `callgate grants revoke {printable(granted['id'])}` ends it")

    return await asked(url, token, work, "whether it is granted, `callgate grants` tells")


async def list_grants(url: str, token: str, as_json: bool) -> int:
    async def work(api: Api) -> None:
        document = await api.get("/v1/grants")
        if as_json:
            output.say(json.dumps(document))
            return
        for item in document["grants"]:
            used_up = styled("  used up", "yellow") if item["state"] == "used_up" else ""
            output.say(styled(printable(item["id"]), "cyan") + used_up)
            output.say(f"  {_granted(item)}")
            if item["conditions"]:
                output.say(f"  where {printable(json.dumps(item['conditions'], ensure_ascii=False))}")
            output.say(f"  by {printable(item['by'])}: {printable(item['reason'] or '(reason erased)')}")
        output.say(_counted(document["grants"]))

    return await asked(url, token, work)


async def revoke(url: str, token: str, grant_id: str, as_json: bool) -> int:
    async def work(api: Api) -> None:
        revoked = await api.delete(f"/v1/grants/{quote(grant_id, safe='')}")
        output.say(json.dumps(revoked) if as_json else f"{styled('revoked', 'yellow', bold=True)}: {_granted(revoked)}")

    return await asked(url, token, work, "whether it is revoked, `callgate grants` tells")


def _counted(grants: list[Any]) -> str:
    if not grants:
        return "nothing is granted that you gave or may approve"
    used_up = sum(item["state"] == "used_up" for item in grants)
    return f"{len(grants) - used_up} in force" + (f", {used_up} used up" if used_up else "")


def _granted(item: Mapping[str, Any]) -> str:
    user = f" for {printable(item['on_behalf_of'])}" if item.get("on_behalf_of") else ""
    session = f" in {printable(item['session'])}" if item.get("session") else ""
    left = f"{item['left']} of {item['uses']} left"
    return f"{printable(item['function'])} by {printable(item['agent'])}{user}{session}, {left}{_until(item)}"


async def asked(url: str, token: str, work: Callable[[Api], Awaitable[None]], doubt: str | None = None) -> int:
    """Exit code 0, or 1 with the reason on standard error where Callgate refuses; `doubt` is for one that is away."""
    try:
        async with Api(url, token) as api:
            await work(api)
    except Refused as refused:
        output.error(refused.detail)
        return 1
    except Away as away:
        if doubt is None:
            raise
        raise CallgateError(away.code, f"{away.detail}; {doubt}") from None
    except (KeyError, TypeError, ValueError):
        raise Away("not_callgate", "that does not answer like Callgate; check --url") from None
    return 0


def _what(item: Mapping[str, Any]) -> str:
    if item["scope"] == "everything":
        return "everything"
    issuer = f" of {printable(item['issuer'])}" if item.get("issuer") else ""
    return f"{printable(item['scope'])} {printable(item['target'])}{issuer}"


def _until(item: Mapping[str, Any]) -> str:
    return f", until {moment(item['expires_at'])}" if item.get("expires_at") else ""
