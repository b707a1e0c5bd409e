"""`callgate mcp` at the top: where lines come from, where they go, and how the bridge is ended."""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from callgate.errors import ConfigurationError
from cli.reviewers import DEFAULT_URL, TokenFileOption, TokenOption, UrlOption


def register(app: typer.Typer) -> None:
    app.command("mcp", rich_help_panel="Agents")(mcp)


def mcp(
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    session: Annotated[
        str | None,
        typer.Option(
            envvar="CALLGATE_SESSION", help="A name for this agent run; its calls are one session. A new one otherwise."
        ),
    ] = None,
) -> None:
    """Serve MCP on standard input and output, by Callgate's /mcp: for clients that start a command.

    Name it in the client's configuration as the command of a server. The token's file is read again for each message,
    so that it may be replaced while this runs.
    """
    from cli import deciding, running  # noqa: PLC0415

    deciding.read_token(token, token_file)  # refused at once where there is none
    running.run(_bridge(door_of(url), token, token_file, session))


def door_of(url: str) -> str:
    """The address of the MCP door: as given, or /mcp where only Callgate's is."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigurationError("bad_url", "--url must be http://host:port or https://host, with or without /mcp")
    return url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/mcp"


async def _bridge(url: str, token: str | None, token_file: Path | None, session: str | None) -> int:
    import aiohttp  # noqa: PLC0415

    from callgate.ids import uuid7  # noqa: PLC0415
    from cli import deciding  # noqa: PLC0415
    from cli.bridge import Bridge  # noqa: PLC0415

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="callgate mcp: %(message)s")
    # No limit of time: Callgate answers a call within a minute, and says so if it has no outcome then.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=300)
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=1024 * 1024) as http:
        bridge = Bridge(
            http, url, lambda: deciding.read_token(token, token_file), session or f"stdio:{uuid7()}", _write
        )
        await bridge.serve(_lines())
    return 0


async def _lines() -> AsyncIterator[bytes]:
    """The lines of standard input. Read by a thread of its own, which nobody waits for: a pipe, a file and a terminal
    are alike to it."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        for line in iter(sys.stdin.buffer.readline, b""):
            loop.call_soon_threadsafe(queue.put_nowait, line)
        loop.call_soon_threadsafe(queue.put_nowait, b"")

    threading.Thread(target=read, daemon=True).start()
    while line := await queue.get():
        if line.strip():
            yield line


def _write(text: bytes) -> None:
    """One message, one line: JSON has line breaks between its parts at most."""
    sys.stdout.buffer.write(text.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
    sys.stdout.buffer.flush()
