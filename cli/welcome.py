"""What `callgate up` prints: addresses, and lines that work when pasted."""

import json

from cli.composition import Deployment

_CALL = {"function": "crm.read_customer", "arguments": {"id": "c42"}}
_RELEASE = {"service": "web", "environment": "production", "version": "1.2.3"}
_DEPLOY = {"function": "deploys.start", "arguments": _RELEASE}


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


def _lines_to_try(deployment: Deployment, url: str) -> list[str]:
    assert deployment.issuer is not None
    agent = deployment.issuer.mint("support-bot")
    reviewer = deployment.issuer.mint("rosa")
    auditor = deployment.issuer.mint("ada")

    def post(path: str, body: object, token: str) -> str:
        header = f'-H "Authorization: Bearer {token}" -H "Content-Type: application/json"'
        return f"curl -s {url}{path} {header} -d '{json.dumps(body)}'"

    return [
        "",
        "Tokens, in this terminal or another (from the development issuer, 8 hours):",
        "",
        f"  AGENT={agent}",
        f"  ROSA={reviewer}",
        f"  ADA={auditor}",
        "",
        "Try:",
        "",
        "  # an allowed call, with what is sensitive masked",
        f"  {post('/v1/calls', _CALL, '$AGENT')}",
        "  # a call that waits for a person of sre (it answers 202 after 2 s, and goes on without you)",
        f"  {post('/v1/calls', _DEPLOY, '$AGENT')} -H 'Prefer: wait=2'",
        "  # what waits for rosa, and her vote",
        f'  curl -s {url}/v1/approvals -H "Authorization: Bearer $ROSA"',
        f"  .venv/bin/callgate approve CALL_ID --url {url} --token $ROSA",
        f"  # or in the browser: {url}/approvals, signed in as rosa",
        "  # what ada of the auditors sees of it all",
        f'  curl -s {url}/v1/sessions -H "Authorization: Bearer $ADA"',
        "",
    ]
