"""A text to inspect, and what is known about its place: the keys that lead to it, and the words next to a candidate."""

import re
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Final

CONTEXT: Final = 30
"""Code points next to a candidate in which a word may tell what it is."""

_UPPER: Final = "A-ZÀ-ÖØ-Þ"
_LOWER: Final = "a-zß-öø-ÿĀ-ž"
"""Latin Extended-A counts as lower case: it begins few words, and ends none of the capitals' runs that matter."""
_WORD = re.compile(rf"[{_UPPER}]+(?=[{_UPPER}][{_LOWER}])|[{_UPPER}]?[{_LOWER}]+|[{_UPPER}]+|[^\W\d_]+")
_KEY: Final = 128
"""Characters of a key that are read for words."""
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*(?:#[a-z]{12})?\]")
_IDENTIFIER = re.compile(
    r"(?:^|\b(?!national |tax |personal |patient |citizen |resident |voter )\w+ )"
    r"(?:id|ids|uid|oid|gid|ref|reference|handle)$"
    r"|\b(?:uuid|guid|sku|ean|upc|isbn|asin|hash|digest|checksum|sha|sha256|md5|crc|etag|cursor|revision|rev|commit|build"
    r"|version|timestamp|time|ts|date|at|epoch|created|updated|modified|expires|millis|ms|ns|duration|elapsed|latency"
    r"|nonce|seq|sequence|offset|index|position|count|counter|total|subtotal|sum|size|length|bytes|width|height|depth"
    r"|amount|price|cost|quantity|qty|balance|rate|score|weight|lat|lng|lon|latitude|longitude|x|y|z|port|pid|status"
    r"|trace|span|request|correlation|order|invoice|ticket|batch|lot|tracking|serial|model|part|product|item|sequence)"
    r"(?: (?:id|no|nr|num|number|code|key|sum|value|ids))?$"
)
_TELLS_NOTHING: Final = frozenset(
    {
        "",
        "text",
        "value",
        "content",
        "message",
        "input",
        "body",
        "data",
        "prompt",
        "query",
        "output",
        "result",
        "string",
    }
)


def words_of(keys: tuple[str, ...]) -> str:
    """The words of keys, lower case, split on camelCase, snake_case and what is no letter: `customer ssn`. What is
    masked in them says nothing: `[PHONE_NUMBER]` does not make the value below it a phone."""
    return " ".join(filter(None, [_words(key if len(key) <= _KEY else key[:_KEY]) for key in keys]))


@lru_cache(maxsize=8192)
def _words(key: str) -> str:
    return " ".join(_WORD.findall(_PLACEHOLDER.sub(" ", key))).lower()


@lru_cache(maxsize=4096)
def names_identifier(words: str) -> bool:
    """Whether the key is one of machines' identifiers, times, counts or amounts: weak detectors keep off."""
    return bool(_IDENTIFIER.search(words))


class OutOfStepsError(Exception):
    """The document took more steps than it may."""


class Leaf:
    """`text` as detectors read it (folded: ASCII digits and dashes, plain blanks, nothing invisible); `path` are the
    keys and indexes that lead to it; `lone` says that the whole document is this one text; `spend` takes steps from
    the document's budget."""

    def __init__(
        self, text: str, path: tuple[str | int, ...], spend: Callable[[int], None], *, lone: bool = False
    ) -> None:
        self.text = text
        self.path = path
        self.spend = spend
        self.lone = lone

    @cached_property
    def key_words(self) -> str:
        """The words of the last three keys on the path."""
        return words_of(tuple(step for step in self.path if isinstance(step, str))[-3:])

    @cached_property
    def identifier(self) -> bool:
        return names_identifier(words_of(tuple(step for step in self.path if isinstance(step, str))[-1:]))

    def before(self, start: int) -> str:
        """The text up to CONTEXT code points before `start`, lower case, but not across something that is masked
        already: so what the context says is the same before and after its neighbours were replaced."""
        floor = max(0, start - CONTEXT)
        close = self.text.rfind("]", floor, start)
        while close >= floor:
            opening = self.text.rfind("[", max(0, close - 70), close)
            if self.text[close - 1 : close] == "\0" or (
                opening >= 0 and _PLACEHOLDER.fullmatch(self.text, opening, close + 1)
            ):
                floor = close + 1
                break
            close = self.text.rfind("]", floor, close)
        return self.text[floor:start].lower()

    def after(self, end: int) -> str:
        """The text up to CONTEXT code points after `end`, lower case, as `before` does."""
        ceiling = min(len(self.text), end + CONTEXT)
        opening = self.text.find("[", end, ceiling)
        while opening >= 0:
            if self.text[opening + 1 : opening + 2] == "\0" or _PLACEHOLDER.match(self.text, opening):
                ceiling = opening
                break
            opening = self.text.find("[", opening + 1, ceiling)
        return self.text[end:ceiling].lower()

    def near(self, start: int, end: int) -> str:
        """What stands before and after, with a bar for the candidate itself."""
        if end - start == len(self.text):
            return "|"
        return f"{self.before(start)}|{self.after(end)}"


def lone_text(path: tuple[str | int, ...], members: int) -> bool:
    """Whether a leaf at `path` is all there is: a document that is one text, or one member whose key tells nothing."""
    if not path:
        return True
    return len(path) == 1 and members == 1 and isinstance(path[0], str) and words_of((path[0],)) in _TELLS_NOTHING
