"""Where in a policy's text Cedar stumbles. Cedar says what is wrong and not where, so prefixes of the text tell."""

import re
from bisect import bisect_left
from typing import NamedTuple

import cedarpy

_LEXEME = re.compile(
    r'"(?:\\.|[^"\\])*"|//[^\n]*|\s+|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|::|==|!=|<=|>=|&&|\|\||.', re.DOTALL
)
_TOO_SOON = "unexpected end of input"
_OF_GRAMMAR = ("unexpected token", "invalid token")
_NAMED = re.compile(r"[`']([^`']+)[`']|: (\w+)$")


class Stumble(NamedTuple):
    message: str
    """Cedar's, on the text of the policy alone."""
    offset: int | None
    """Into the text; None where it cannot be told."""


def stumble(text: str) -> Stumble | None:
    """Why and where one policy does not parse; None where it does."""
    message = _error(text)
    if message is None:
        return None
    lexemes = [found for found in _LEXEME.finditer(text) if not found[0].isspace() and not found[0].startswith("//")]
    if not lexemes:
        return Stumble(message, None)
    if message == _TOO_SOON:
        return Stumble(message, lexemes[-1].end())
    if not message.startswith(_OF_GRAMMAR):
        return Stumble(message, _only(lexemes, message))
    if message == "unexpected token `;`":
        return Stumble(message, lexemes[-1].start())
    # Cedar goes on after an error and tells the first. Up to the token that it cannot take, a semicolon after the
    # prefix is what is wrong (or nothing is); from then on it is that token.
    wrong = bisect_left(lexemes, True, key=lambda lexeme: _error(text[: lexeme.end()] + " ;") == message)
    return Stumble(message, lexemes[min(wrong, len(lexemes) - 1)].start())


def _only(lexemes: list[re.Match[str]], message: str) -> int | None:
    """Where the one word stands that the message is about: the grammar took it, and its meaning is wrong."""
    named = _NAMED.search(message)
    if named is None or "missing" in message:
        return None
    places = [lexeme.start() for lexeme in lexemes if lexeme[0] == (named[1] or named[2])]
    return places[0] if len(places) == 1 else None


def _error(text: str) -> str | None:
    try:
        cedarpy.policies_to_json_str(text)
    except ValueError as error:
        return str(error)
    return None
