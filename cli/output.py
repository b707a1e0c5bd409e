"""What commands print: plain lines, colours only on a terminal that wants them."""

import os
import sys

import typer


def say(text: str = "") -> None:
    typer.echo(text)


def error(text: str) -> None:
    """One error on standard error, each of its lines readable by itself."""
    typer.echo(f"{styled('error', 'red')}: {text}", err=True)


def styled(text: str, colour: str, *, bold: bool = False) -> str:
    """Coloured on a terminal, plain elsewhere and under NO_COLOR."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return typer.style(text, fg=colour, bold=bold)
