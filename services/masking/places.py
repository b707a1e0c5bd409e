"""Where something was found, told without quoting a key that an agent or an upstream chose. Pure.

Paths of findings stand in clear on the log, in audit's projection and in answers, and a key may well be a name.
"""

import re
from functools import lru_cache
from typing import Final

from callgate.jsontext import pointer_token
from callgate.schema_annotations import NEVER
from services.masking.hints import Hints

Path = tuple[str | int, ...]

HIDDEN: Final = "*"

_LONGEST: Final = 40
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_DIGITS = 4
"""In an identifier; with more, it may be a number of somebody's."""


class Places:
    """Pointers into the masked view of one document, cheapest in the document's order."""

    def __init__(self, schema: Hints) -> None:
        self._path: list[str | int] = []
        self._places: list[tuple[str, Hints]] = [("", schema)]
        """The pointer to each prefix of `_path`, and what the schema says there."""

    def pointer(self, path: Path) -> str:
        """The path, which leads into the view, as a JSON pointer (RFC 6901) in which `*` stands for each key that the
        schema does not declare in its place, unless it looks like an identifier and nothing was found in it."""
        known = 0
        for step, before in zip(path, self._path, strict=False):
            if step != before:
                break
            known += 1
        del self._path[known:], self._places[known + 1 :]
        for step in path[known:]:
            pointer, schema = self._places[-1]
            if isinstance(step, str):
                place = pointer + _shown(step, schema), schema.property(step)
            else:
                place = f"{pointer}/{step}", schema.item(step)
            self._path.append(step)
            self._places.append(place)
        return self._places[-1][0]


def _shown(key: str, schema: Hints) -> str:
    """The step of a pointer for a key of the view; what was found in one, or withheld, stands in brackets there, and so
    is no identifier."""
    if schema.declares(key):
        return pointer_token(key)
    shown = schema.mask != NEVER and len(key) <= _LONGEST and _looks_like_identifier(key)
    return f"/{key if shown else HIDDEN}"


@lru_cache(maxsize=4096)
def _looks_like_identifier(key: str) -> bool:
    return bool(_IDENTIFIER.fullmatch(key)) and sum(character.isdigit() for character in key) <= _DIGITS
