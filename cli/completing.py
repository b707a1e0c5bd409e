"""Call ids and functions for the shell's completion: none, silently, without a token, or a Callgate that takes it."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from cli.api import Api

_SECONDS = 2.0


def approval_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The calls that wait for approval by whoever's token the environment holds."""
    return _ids(ctx, "approvals", incomplete)


def outcome_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The calls that they may settle."""
    return _ids(ctx, "outcomes", incomplete)


def function_names(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """What there is to call."""
    return _found(ctx, incomplete, _functions, lambda item: (item["name"], item["description"]))


def _ids(ctx: typer.Context, kind: str, incomplete: str) -> list[tuple[str, str]]:
    from cli import listing  # noqa: PLC0415

    return _found(
        ctx,
        incomplete,
        lambda api: listing.pages(api, kind, brief="true"),
        lambda item: (item["id"], f"{item['function']}, asked by {item['requester']}"),
    )


async def _functions(api: "Api") -> list[dict[str, Any]]:
    return list((await api.get("/v1/functions"))["functions"])


def _found(
    ctx: typer.Context,
    incomplete: str,
    ask: "Callable[[Api], Awaitable[list[dict[str, Any]]]]",
    shown: Callable[[dict[str, Any]], tuple[str, str]],
) -> list[tuple[str, str]]:
    import asyncio  # noqa: PLC0415  # `--help` imports this module

    from callgate.errors import CallgateError  # noqa: PLC0415

    try:
        items = asyncio.run(asyncio.wait_for(_listed(ctx, ask), _SECONDS))
        return [one for one in map(shown, items) if one[0].startswith(incomplete)]
    except (CallgateError, OSError, TimeoutError, ValueError, LookupError, TypeError):
        return []


async def _listed(ctx: typer.Context, ask: "Callable[[Api], Awaitable[list[dict[str, Any]]]]") -> list[dict[str, Any]]:
    from cli import deciding  # noqa: PLC0415
    from cli.api import Api  # noqa: PLC0415
    from cli.reviewers import DEFAULT_URL  # noqa: PLC0415

    url = ctx.params.get("url") or os.environ.get("CALLGATE_URL") or DEFAULT_URL
    file = ctx.params.get("token_file")
    token = deciding.read_token(
        ctx.params.get("token") or os.environ.get("CALLGATE_TOKEN"), Path(file) if file is not None else None
    )
    async with Api(url, token) as api:
        return await ask(api)
