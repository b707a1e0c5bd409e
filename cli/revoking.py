"""What the commands of `revocation_commands` do, over the public HTTP API."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from callgate.errors import ConfigurationError
from cli import output
from cli.api import Api
from cli.call_lines import moment
from cli.controlling import asked
from cli.output import printable, styled


def aim(subject: str | None, jti: str | None, issuer: str | None, so_far: bool) -> dict[str, Any]:
    """Scope and target of the options. ConfigurationError unless they name exactly one."""
    if (subject is None) == (jti is None):
        raise ConfigurationError("one_scope", "say what to revoke: --subject, or --jti with --issuer")
    if jti is not None and (issuer is None or so_far):
        raise ConfigurationError("token_of_issuer", "--jti goes with --issuer, and without --so-far")
    scope, target = ("subject", subject) if subject is not None else ("token", jti)
    return {"scope": scope, "target": target, "issuer": issuer, "issued_so_far": so_far}


async def revoke(url: str, token: str, wish: Mapping[str, Any], as_json: bool) -> int:
    async def work(api: Api) -> None:
        revoked = await api.post("/v1/revocations", wish)
        if as_json:
            output.say(json.dumps(revoked))
            return
        output.say(f"{styled('revoked', 'red', bold=True)}: {_what(revoked)}")
        output.say(f"  `callgate unrevoke {printable(revoked['id'])}` lifts it")

    return await asked(url, token, work, "whether it is revoked, `callgate revocations` tells")


async def list_revocations(url: str, token: str, as_json: bool) -> int:
    async def work(api: Api) -> None:
        document = await api.get("/v1/revocations")
        if as_json:
            output.say(json.dumps(document))
            return
        for item in document["revocations"]:
            output.say(styled(printable(item["id"]), "cyan"))
            output.say(f"  {_what(item)}, since {moment(item['since'])} by {printable(item['by'])}")
            output.say(f"  {printable(item['reason']) if item['reason'] else '(reason erased)'}")
        count = len(document["revocations"])
        output.say(f"{count} in force" if count else "nothing is revoked that you may revoke or lift")

    return await asked(url, token, work)


async def lift(url: str, token: str, revocation_id: str, as_json: bool) -> int:
    async def work(api: Api) -> None:
        lifted = await api.delete(f"/v1/revocations/{quote(revocation_id, safe='')}")
        if as_json:
            output.say(json.dumps(lifted))
            return
        output.say(f"{styled('lifted', 'green', bold=True)}: {_what(lifted)}; its tokens count again")

    return await asked(url, token, work, "whether it is lifted, `callgate revocations` tells")


def _what(item: Mapping[str, Any]) -> str:
    issuer = f" of {printable(item['issuer'])}" if item["issuer"] else ""
    before = f", tokens issued before {moment(item['issued_before'])}" if item["issued_before"] else ""
    until = f", until {moment(item['expires_at'])}" if item["expires_at"] else ""
    return f"{item['scope']} {printable(item['target'])}{issuer}{before}{until}"
