"""Policies as text: where each begins, and which attributes of the context its conditions read."""

import re
from typing import NamedTuple

from contracts.model import JsonValue

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"?|//[^\n]*|;|\s+|[^"/;\s]+|/', re.DOTALL)


class Statement(NamedTuple):
    """One policy of a file, from its first token (an annotation, mostly) to its semicolon."""

    line: int
    text: str
    begin: int
    """Offset into the file."""


def statements(text: str) -> list[Statement]:
    """The policies of a file, in order; what follows the last semicolon too, where it is more than comments."""
    found: list[Statement] = []
    begin: int | None = None
    for token in _TOKEN.finditer(text):
        if begin is None and not token[0].isspace() and not token[0].startswith("//"):
            begin = token.start()
        if token[0] == ";" and begin is not None:
            found.append(_statement(text, begin, token.end()))
            begin = None
    if begin is not None:
        found.append(_statement(text, begin, len(text)))
    return found


def context_reads(policy: JsonValue) -> frozenset[tuple[str, ...]]:
    """The attribute paths under `context` that a policy reads, each as far as it goes; `()` is the whole context.

    `policy` is one static policy in Cedar's JSON format. `context.input has order` reads `input.order`, unless the
    policy goes on to read inside it; that the context itself has an attribute is no read, since the schema says so.
    """
    read: set[tuple[str, ...]] = set()
    asked: set[tuple[str, ...]] = set()
    for clause in policy["conditions"]:
        _collect(clause["body"], read, asked)
    known = read | asked
    return frozenset(read | {path for path in asked if not any(_extends(other, path) for other in known)})


def _statement(text: str, begin: int, end: int) -> Statement:
    return Statement(text.count("\n", 0, begin) + 1, text[begin:end], begin)


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, each from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _extends(path: tuple[str, ...], prefix: tuple[str, ...]) -> bool:
    return len(path) > len(prefix) and path[: len(prefix)] == prefix


def _collect(expression: JsonValue, read: set[tuple[str, ...]], asked: set[tuple[str, ...]]) -> None:
    path = context_path(expression)
    if path is not None:
        read.add(path)
        return
    if isinstance(expression, list):
        for part in expression:
            _collect(part, read, asked)
        return
    for operator, operands in expression.items() if isinstance(expression, dict) else ():
        base = context_path(operands["left"]) if operator == "has" else None
        if base is not None:
            asked |= {(*base, operands["attr"])} if base else set()
        elif operator != "Value":
            _collect(list(operands.values()) if isinstance(operands, dict) else operands, read, asked)


def context_path(expression: JsonValue) -> tuple[str, ...] | None:
    """`context.input.amount` → ("input", "amount"); None for what is no path from the context."""
    if not isinstance(expression, dict):
        return None
    if expression.get("Var") == "context":
        return ()
    access = expression.get(".")
    if isinstance(access, dict) and set(access) == {"left", "attr"}:
        base = context_path(access["left"])
        return None if base is None else (*base, access["attr"])
    return None
