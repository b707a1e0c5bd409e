"""What `callgate up` prints: addresses, and lines that work when pasted."""

import json
import sys
from pathlib import Path

from cli.composition import Deployment

_CALL = {"function": "crm.read_customer", "arguments": {"id": "c42"}}
_RELEASE = {"service": "web", "environment": "production", "version": "1.2.3"}


def welcome(deployment: Deployment) -> str:
    """The text; without a development issuer it has addresses only."""
    url = deployment.url
    lines = [
        "",
        f"Callgate is up ({deployment.settings.deployment}). Ctrl-C stops it; nothing is lost.",
        "",
        f"  agents post calls to   {url}/v1/calls",
        f"  reviewers decide at    {url}/approvals",
        f"  auditors read          {url}/v1/sessions",
        f"  health and metrics     {url}/health  {url}/metrics",
        f"  broker                 {deployment.broker_url}   state in {deployment.settings.state}",
    ]
    if deployment.issuer is not None:
        lines += [
            f"  development tokens     {deployment.issuer.url}/   (never in production)",
            *_lines_to_try(deployment, url),
        ]
    if deployment.upstream_url is not None:
        lines.append(f"  what the upstream saw:   curl -s {deployment.upstream_url}/_seen")
    return "\n".join([*lines, ""])


def on_path(scripts: Path) -> list[str]:
    """The line by which plain `callgate` and `python`, as the documents have them, are those of this installation."""
    return [f'  export PATH="{scripts}:$PATH"'] if (scripts / "callgate").exists() else []


def _lines_to_try(deployment: Deployment, url: str) -> list[str]:
    assert deployment.issuer is not None
    agent = deployment.issuer.mint("support-bot")
    reviewer = deployment.issuer.mint("rosa")
    auditor = deployment.issuer.mint("ada")

    def call(function: str, arguments: dict[str, str], more: str = "") -> str:
        pairs = " ".join(f"{name}={value}" for name, value in arguments.items())
        return f"CALLGATE_TOKEN=$AGENT .venv/bin/callgate call {function} {pairs}{more}"

    return [
        "",
        "To paste in another terminal (the tokens are the development issuer's, for 8 hours):",
        "",
        f"  export AGENT={agent}",
        f"  export ROSA={reviewer}",
        f"  export ADA={auditor}",
        f"  export CALLGATE_URL={url}",
        *on_path(Path(sys.executable).parent),
        "",
        "Try:",
        "",
        "  # an allowed call, with what is sensitive masked",
        f"  {call('crm.read_customer', {'id': 'c42'})}",
        "  # a call that waits for a person of sre (after 2 s it goes on without you)",
        f"  {call('deploys.start', _RELEASE, ' --wait 2')}",
        "  # what waits for rosa, and her vote",
        "  CALLGATE_TOKEN=$ROSA .venv/bin/callgate approvals",
        "  CALLGATE_TOKEN=$ROSA .venv/bin/callgate approve CALL_ID",
        f"  # or in the browser: {url}/approvals, signed in as rosa",
        "  # the first call over HTTP",
        f'  curl -s {url}/v1/calls -H "Authorization: Bearer $AGENT" -H "Content-Type: application/json" '
        f"-d '{json.dumps(_CALL)}'",
        "  # tools of an MCP server, which nobody may call before somebody of sre accepts them (docs/mcp.md)",
        "  CALLGATE_TOKEN=$ROSA .venv/bin/callgate functions changes",
        "  # what ada of the auditors sees of it all",
        f'  curl -s {url}/v1/sessions -H "Authorization: Bearer $ADA"',
        "",
    ]
