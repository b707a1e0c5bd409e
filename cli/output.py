"""What commands print: plain lines, colours only on a terminal that wants them."""

import os
import sys

import typer


def say(text: str = "") -> None:
    typer.echo(text)
    sys.stdout.flush()  # whoever started us may wait for this line


def error(text: str) -> None:
    """One error on standard error, each of its lines readable by itself."""
    typer.echo(f"{styled('error', 'red')}: {text}", err=True)


def aside(text: str) -> None:
    """What people are told while they wait, on standard error: standard output is for the answer alone."""
    typer.echo(text, err=True)


def count(number: int, one: str, many: str = "") -> str:
    """`1 call`, `2 calls`; `many` where an s is not enough."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def styled(text: str, colour: str, *, bold: bool = False) -> str:
    """Coloured on a terminal, plain elsewhere and under NO_COLOR."""
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return typer.style(text, fg=colour, bold=bold)


def printable(text: str) -> str:
    """Text from elsewhere, on one line: what could move the cursor or turn the line around is shown as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
