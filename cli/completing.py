"""Call ids for the shell's completion: none, silently, where there is no token, or no Callgate that takes it."""

import os
from pathlib import Path
from typing import Any

import typer

_SECONDS = 2.0


def approval_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The calls that wait for approval by whoever's token the environment holds."""
    return _ids(ctx, "approvals", incomplete)


def outcome_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The calls that they may settle."""
    return _ids(ctx, "outcomes", incomplete)


def _ids(ctx: typer.Context, kind: str, incomplete: str) -> list[tuple[str, str]]:
    import asyncio  # noqa: PLC0415  # `--help` imports this module

    from callgate.errors import CallgateError  # noqa: PLC0415

    try:
        items = asyncio.run(asyncio.wait_for(_listed(ctx, kind), _SECONDS))
        return [
            (item["id"], f"{item['function']}, asked by {item['requester']}")
            for item in items
            if item["id"].startswith(incomplete)
        ]
    except (CallgateError, OSError, TimeoutError, ValueError, LookupError, TypeError):
        return []


async def _listed(ctx: typer.Context, kind: str) -> list[dict[str, Any]]:
    from cli import deciding, listing  # noqa: PLC0415
    from cli.api import Api  # noqa: PLC0415
    from cli.reviewers import DEFAULT_URL  # noqa: PLC0415

    url = ctx.params.get("url") or os.environ.get("CALLGATE_URL") or DEFAULT_URL
    file = ctx.params.get("token_file")
    token = deciding.read_token(
        ctx.params.get("token") or os.environ.get("CALLGATE_TOKEN"), Path(file) if file is not None else None
    )
    async with Api(url, token) as api:
        return await listing.pages(api, kind, brief="true")
