"""What the commands of `control_commands` do: freezes over the public HTTP API."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from callgate.errors import CallgateError, ConfigurationError
from cli import output
from cli.api import Api, Away, Refused
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
        output.say(f"  {waiting} {'call that waits' if waiting == 1 else 'calls that wait'} for approval: cancelled")
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
            output.say(f"  {_what(item)}, since {printable(item['since'])} by {printable(item['by'])}{_until(item)}")
            output.say(f"  {printable(item['reason']) if item['reason'] else '(reason erased)'}")
        output.say(f"{len(document['freezes'])} in force" if document["freezes"] else "nothing is frozen")

    return await asked(url, token, work)


async def unfreeze(url: str, token: str, freeze_id: str, as_json: bool) -> int:
    async def work(api: Api) -> None:
        lifted = await api.delete(f"/v1/freezes/{quote(freeze_id, safe='')}")
        if as_json:
            output.say(json.dumps(lifted))
            return
        output.say(f"{styled('lifted', 'green', bold=True)}: {_what(lifted)}; what was cancelled stays cancelled")

    return await asked(url, token, work, "whether it is lifted, `callgate freezes` tells")


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
    except (KeyError, TypeError):
        raise Away("not_callgate", "that does not answer like Callgate; check --url") from None
    return 0


def _what(item: Mapping[str, Any]) -> str:
    if item["scope"] == "everything":
        return "everything"
    issuer = f" of {printable(item['issuer'])}" if item.get("issuer") else ""
    return f"{printable(item['scope'])} {printable(item['target'])}{issuer}"


def _until(item: Mapping[str, Any]) -> str:
    return f", until {printable(item['expires_at'])}" if item.get("expires_at") else ""
