"""Bounded unwrapping: what hides inside a leaf (JSON in a string, base64, URL encoding, entities …), layer by layer.

`unwrap` says for each layer its text, the keys that lead to it and how its spans lie in the leaf. What is wrapped
deeper than `DEPTH`, or is more than a leaf of that size may hold, is named by a code: then nobody has seen what is
in it, and the leaf must be withheld.
"""

import json
import re
from html import escape
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

from services.masking.encodings import RUN, SHORTEST_RUN, json_values, runs, spelled_out
from services.masking.folding import OffsetMap

DEPTH: Final = 3
"""Layers inside each other."""
SIZE: Final = 6
"""How many times the leaf's length all its layers may have together, beyond FREE."""
FREE: Final = 64 * 1024

Kind = Literal["key", "string", "number", "spelled", "base64", "hex"]


class Layer(NamedTuple):
    """A text inside a leaf. `keys` lead to it within the leaf, through every JSON text on the way; for a key of such
    a text (`kind` is `key`) they lead to the object that has it."""

    text: str
    keys: tuple[str | int, ...]
    kind: Kind
    start: int
    end: int
    """Where its encoded form lies in what holds it: `within`, or the leaf."""
    offsets: OffsetMap | None = None
    within: "Layer | None" = None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the leaf that must be replaced for a half-open span of `text`: exactly its characters, but all
        of a number and of what base64 or hex encodes."""
        if self.kind in ("number", "base64", "hex"):
            span = self.start, self.end
        else:
            low, high = self.offsets.original(start, end) if self.offsets else (start, end)
            span = self.start + low, self.start + high
        return self.within.original(*span) if self.within else span

    def written(self, replacement: str) -> str:
        """What to put there in the leaf, so that JSON around it stays JSON: with quotes for a number."""
        layer: Layer | None = self
        text = replacement
        while layer:
            if layer.kind in ("base64", "hex"):
                text = replacement
            elif layer.kind == "number":
                text = json.dumps(text, ensure_ascii=False)
            elif layer.kind in ("key", "string"):
                text = json.dumps(text, ensure_ascii=False)[1:-1]
            else:
                text = _spelled(text)
            layer = layer.within
        return text


class Unwrapped(NamedTuple):
    """What a leaf holds. `inspected` says that the layers are all there is in it: the leaf itself (a JSON text) need
    not be looked at. `code` is empty, or `too_deep` or `too_large`: withhold the leaf."""

    layers: tuple[Layer, ...] = ()
    inspected: bool = False
    code: Literal["", "too_deep", "too_large"] = ""


NOTHING: Final = Unwrapped()

TRIGGER: Final = r"[%&\\]|=\r?\n|=[0-9A-F]{2}|[0-9A-Za-z]\+[0-9A-Za-z]|\A[ \t\r\n]*[\[{\"]|[\x{e0020}-\x{e007e}]|" + RUN
"""RE2: where it matches nothing, `unwrap` gives NOTHING."""


_OPAQUE: Final = re.compile(r"(?:[0-9a-f]{2}){16,64}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_HIGH: Final = frozenset("89abcdef")


def _is_opaque(text: str) -> bool:
    """Whether it is a UUID or a hash: what these are the octets of is no text, where one of them is beyond ASCII."""
    if not 32 <= len(text) <= 128 or _OPAQUE.fullmatch(text) is None:
        return False
    return "-" in text or not _HIGH.isdisjoint(text[::2])


def unwrap(text: str) -> Unwrapped:
    """Every layer of a leaf (as it came, not folded), those that hold others first. Total and linear."""
    if len(text) < 6 or _is_opaque(text):
        return NOTHING
    search = _Search(FREE + SIZE * len(text))
    inspected = search.look(text, (), None, DEPTH)
    if not search.layers and not inspected and not search.code:
        return NOTHING
    return Unwrapped(tuple(search.layers), inspected, search.code)


class _Search:
    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.layers: list[Layer] = []
        self.code: Literal["", "too_deep", "too_large"] = ""

    def look(self, text: str, keys: tuple[str | int, ...], within: Layer | None, depth: int) -> bool:
        """Adds the layers of a text; whether they are all there is in it."""
        if text[:1] in _OPENING and depth and self._json(text, keys, within, depth):
            return True
        if (made := spelled_out(text)) is not None and self._goes_deeper(depth, len(made[0])):
            self._add(Layer(made[0], keys, "spelled", 0, len(text), made[1], within), depth)
        if len(text) >= SHORTEST_RUN:
            for run in runs(text):
                if not self._goes_deeper(depth, len(run.text)):
                    break
                self._add(Layer(run.text, keys, run.encoding, run.start, run.end, None, within), depth)
        return False

    def _json(self, text: str, keys: tuple[str | int, ...], within: Layer | None, depth: int) -> bool:
        values = json_values(text)
        if values is None or not self._goes_deeper(depth, len(text)):
            return False
        for kind, start, end, path, read, offsets in values:
            self._add(Layer(read, keys + path, kind, start, end, offsets, within), depth)
        return not text.lstrip().startswith('"')  # a quotation may just look like a JSON string

    def _goes_deeper(self, depth: int, size: int) -> bool:
        """Whether there is room for one more layer; if not, says why."""
        self.budget -= size
        if not depth or self.budget < 0:
            self.code = self.code or ("too_large" if depth else "too_deep")
        return not self.code

    def _add(self, layer: Layer, depth: int) -> None:
        place = len(self.layers)
        self.layers.append(layer)
        if len(layer.text) >= 6 and self.look(layer.text, layer.keys, layer, depth - 1):
            del self.layers[place]  # its own layers say it all


_OPENING: Final = frozenset('{[" \t\r\n')


def _spelled(text: str) -> str:
    """A replacement where characters are spelled out: brackets and the like need not be, in URLs and HTML alike."""
    return (
        quote(escape(text, quote=False), safe=" []{}<>()@:*~!$',;/?|&#") if any(c in text for c in "%&<>+=") else text
    )
