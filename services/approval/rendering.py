"""What people see of values that an agent chose: nothing hidden, nothing that could pass for our own page. Pure."""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from markupsafe import Markup, escape

from callgate.jsontext import pointer_token
from contracts.events import Finding
from contracts.model import JsonValue
from services.approval.lookalikes import lookalikes

ROWS = 200
"""Leaves of the arguments that a page shows."""
VALUE_LIMIT = 20_000
FOLD_ABOVE = 300
"""Characters of a value from which it is folded."""

# Letters and marks that show nothing, and that no category tells: fillers, the blank of Braille, variation selectors.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(c) for c in range(0xFE00, 0xFE10)}
_HIDDEN_MARK = Markup('<span class="hidden-character" title="{}">{}</span>')
_LOOKALIKE_MARK = Markup('<span class="look-alike" title="{}, looks like {}">{}<small>{}</small></span>')
_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Row:
    """One leaf of the arguments."""

    path: tuple[str, ...]
    kind: str
    text: str
    cut: int
    """Characters left out."""
    entities: tuple[str, ...]
    value: JsonValue = field(repr=False)

    @property
    def folded(self) -> bool:
        return len(self.text) > FOLD_ABOVE


def visible(text: object) -> Markup:
    """Escaped text in which every character that shows nothing, turns the direction or passes for another is named."""
    source = str(text)
    if source.isascii() and source.isprintable():
        return Markup("<bdi>{}</bdi>").format(source)
    deceptive = lookalikes(source)
    parts: list[Markup] = []
    for position, character in enumerate(source):
        if _is_hidden(character):
            parts.append(_HIDDEN_MARK.format(_name(character), _code(character)))
            if character == "\n":
                parts.append(Markup("\n"))
        elif position in deceptive:
            seen = deceptive[position]
            parts.append(_LOOKALIKE_MARK.format(_name(character), seen, character, _code(character)))
        else:
            parts.append(escape(character))
    return Markup("<bdi>{}</bdi>").format(Markup("").join(parts))


def rows(arguments: JsonValue, findings: Iterable[Finding]) -> tuple[list[Row], int]:
    """The leaves in their order, and how many more there are."""
    found: dict[str, list[str]] = {}
    for finding in findings:
        found.setdefault(finding.path, []).append(finding.entity)
    shown: list[Row] = []
    more = 0
    for path, leaf in _leaves(arguments):
        if len(shown) < ROWS:
            shown.append(row(path, leaf, found))
        else:
            more += 1
    return shown, more


def row(path: tuple[str, ...], leaf: JsonValue, found: Mapping[str, Sequence[str]] = MappingProxyType({})) -> Row:
    """One value; `found` are the entities by JSON pointer."""
    pointer = "".join(map(pointer_token, path))
    text = leaf if isinstance(leaf, str) else json.dumps(leaf)
    entities = tuple(dict.fromkeys(found.get(pointer, ())))
    return Row(path, _kind(leaf), text[:VALUE_LIMIT], max(0, len(text) - VALUE_LIMIT), entities, leaf)


def until(at: datetime, now: datetime) -> str:
    """How long until then, as a person says it."""
    seconds = int((at - now).total_seconds())
    if seconds <= 0:
        return "now"
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size or (seconds >= size and unit == "minute"):
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


def is_plain(text: str) -> bool:
    """Whether text is what it seems: nothing hidden but the ends of its lines, nothing that passes for another."""
    return not any(_is_hidden(character) and character != "\n" for character in text) and not lookalikes(text)


def _name(character: str) -> str:
    return f"{_code(character)} {unicodedata.name(character, 'no name')}"


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"


def _is_hidden(character: str) -> bool:
    if character == " " or (character.isascii() and character.isprintable()):
        return False
    category = unicodedata.category(character)
    # Every space but the plain one: they look alike, and differ.
    return category in _HIDDEN or category == "Zs" or character in _BLANK or 0xE0100 <= ord(character) <= 0xE01EF


def _leaves(value: JsonValue) -> Iterator[tuple[tuple[str, ...], JsonValue]]:
    """Depth first, by a stack of its own; an empty object or array is a leaf."""
    stack: list[tuple[tuple[str, ...], JsonValue]] = [((), value)]
    while stack:
        path, node = stack.pop()
        members: list[tuple[str, JsonValue]] = []
        if isinstance(node, dict):
            members = list(node.items())
        elif isinstance(node, list):
            members = [(str(index), member) for index, member in enumerate(node)]
        if members:
            stack.extend(((*path, name), member) for name, member in reversed(members))
        else:
            yield path, node


def _kind(leaf: JsonValue) -> str:
    kinds = {str: "text", bool: "yes/no", int: "number", float: "number", type(None): "null", list: "list"}
    return kinds.get(type(leaf), "object")


BRIEF = 120
"""Characters of a call's arguments in the list."""


def brief(arguments: JsonValue) -> str:
    """The masked arguments in one line, so that calls can be told apart before one is opened."""
    if not isinstance(arguments, dict):
        return ""
    line = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    return line if len(line) <= BRIEF else line[: BRIEF - 1] + "…"


def plain(text: object, limit: int) -> tuple[str, int]:
    """Text for where there is no markup: hidden characters named as `[U+202E]`, line ends too, and characters that pass
    for others as `[U+0430, looks like a]`; cut at `limit` characters of what it becomes. Gives how many characters of
    `text` are left out. What came out of here stays as it is, if it comes in again."""
    parts: list[str] = []
    left = limit
    source = str(text)
    deceptive = lookalikes(source)
    for position, character in enumerate(source):
        part = character
        if _is_hidden(character):
            part = f"[{_code(character)}]"
        elif position in deceptive:
            part = f"[{_code(character)}, looks like {deceptive[position]}]"
        left -= len(part)
        if left < 0:
            return "".join(parts), len(source) - position
        parts.append(part)
    return "".join(parts), 0
