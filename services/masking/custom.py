"""The operator's own detectors and lists (`callgate.masking_settings`), compiled and tried at start.

Errors name the detector by its place in callgate.yaml and its entity; they quote neither lists nor examples.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import re2

from callgate.errors import ConfigurationError
from callgate.masking_settings import DenySettings, DetectorSettings, MaskingSettings, UnsafeAllowSettings
from services.masking.folding import fold
from services.masking.leaf import Leaf, words_of
from services.masking.recogniser import Detectors, Finder, Hit, any_word, judged
from services.masking.scanning import ScanFailedError, Scanner
from services.masking.word_list import WordList

MOST_VALUES: Final = 20_000
"""Of one deny list."""
_SEPARATORS: Final = str.maketrans("", "", " -")


@dataclass(frozen=True, slots=True)
class Custom:
    """What the operator adds to the built-in detectors, and takes away from them."""

    finders: tuple[Finder, ...] = ()
    disabled: frozenset[str] = frozenset()
    shortest: int | None = None
    """Code points of the shortest text that the finders may find something in; None without any."""
    allows: Callable[[str, str], bool] = lambda _entity, _text: False
    """(entity, found text as folded) → whether it is not to be masked: allowed, or the entity is disabled. What a deny
    list names never is."""

    def joined(self, built_in: Detectors) -> Detectors:
        """All detectors together, without those whose entities are disabled."""
        return Detectors(
            tuple(one for one in built_in.recognisers if one.entity not in self.disabled),
            (*(one for one in built_in.finders if not self.disabled.issuperset(one.entities)), *self.finders),
            shortest=built_in.shortest if self.shortest is None else min(built_in.shortest, self.shortest),
        )


def compile_custom(
    settings: MaskingSettings,
    known: Collection[str],
    *,
    read: Callable[[Path], str] = lambda path: path.read_text(encoding="utf-8"),
) -> Custom:
    """`known` are the built-in entities, the only ones that can be disabled. Reads the files of lists.

    Raises ConfigurationError: an example that comes out wrong, a list that cannot be read or is too long, an entity to
    disable that is unknown or that a detector or list of the operator's own is for.
    """
    detectors = [_detector(one, f"masking.detectors.{at} ({one.entity})") for at, one in enumerate(settings.detectors)]
    lists = [_values(one, f"masking.deny.{at} ({one.entity})", read) for at, one in enumerate(settings.deny)]
    denied = [_deny(one.entity, values) for one, values in zip(settings.deny, lists, strict=True)]
    own = {entity for finder in (*detectors, *denied) for entity in finder.entities}
    for at, entity in enumerate(settings.disable):
        if entity not in known:
            raise _wrong(f"masking.disable.{at}", f"{entity} is no entity that is built in; see docs/masking.md")
        if entity in own:
            raise _wrong(f"masking.disable.{at}", f"{entity} has detectors or lists of your own; remove those")
    shortest = 1 if detectors else min(map(len, chain.from_iterable(lists)), default=None)
    disabled = frozenset(settings.disable)
    allows = _allows(settings.allow, disabled, frozenset(one.entity for one in settings.deny))
    return Custom((*detectors, *denied), disabled, shortest, allows)


def _wrong(place: str, why: str) -> ConfigurationError:
    return ConfigurationError("bad_masking", f"{place}: {why}")


# Detectors


def _detector(settings: DetectorSettings, place: str) -> Finder:
    pattern = _compiled(settings.pattern)
    words = any_word(word.lower() for word in settings.words)
    keys = any_word(words_of((key,)) for key in settings.keys)

    def find(leaf: Leaf) -> Iterator[Hit]:
        if keys is not None and not keys.search(leaf.key_words):
            return
        for match in pattern.finditer(leaf.text):
            leaf.spend(20)
            start, end = match.span(pattern.groups)
            if start < end and "\0" not in leaf.text[start:end]:
                score = judged(settings.score, leaf, start, end, words)
                if score:
                    yield Hit(start, end, settings.entity, score, "the operator's pattern")

    finder = Finder((settings.entity,), settings.pattern, find, "the operator's pattern", place)
    _try(settings, finder, place)
    return finder


def _try(settings: DetectorSettings, finder: Finder, place: str) -> None:
    """The examples, each as the whole document, or as the value of the first of `keys`."""
    try:
        scanner = Scanner(Detectors(finders=(finder,)))
    except ValueError:
        raise _wrong(place, "the pattern cannot be used; it must match neither nothing nor NUL") from None
    for kind, expected, examples in (
        ("match", True, settings.examples.match),
        ("no_match", False, settings.examples.no_match),
    ):
        for at, example in enumerate(examples):
            leaf = Leaf(fold(example).text, settings.keys[:1], lambda _: None, lone=not settings.keys)
            try:
                found = bool(scanner.hits(leaf))
            except ScanFailedError:
                raise _wrong(place, f"examples.{kind}.{at} could not be scanned") from None
            if found is not expected:
                raise _wrong(place, f"examples.{kind}.{at} is {'found' if found else 'not found'}")


# Lists


def _values(settings: DenySettings, place: str, read: Callable[[Path], str]) -> tuple[str, ...]:
    lines: list[str] = []
    if settings.file is not None:
        try:
            lines = [line.strip() for line in read(settings.file).splitlines()]
        except (OSError, UnicodeDecodeError):
            raise _wrong(place, f"{settings.file} cannot be read; it must be a file in UTF-8") from None
    named = (*settings.values, *(line for line in lines if line and not line.startswith("#")))
    values = tuple(dict.fromkeys(fold(value).text.strip() for value in named))
    if not values:
        raise _wrong(place, f"{settings.file} lists nothing")
    if len(values) > MOST_VALUES:
        raise _wrong(place, f"lists {len(values)} values; at most {MOST_VALUES} are taken")
    if too_short := [at for at, value in enumerate(values) if len(value) < 2]:
        raise _wrong(place, f"value {too_short[0] + 1} is shorter than two characters")
    return values


def _deny(entity: str, values: tuple[str, ...]) -> Finder:
    listed = WordList(values)

    def find(leaf: Leaf) -> Iterator[Hit]:
        leaf.spend(len(leaf.text))
        return (Hit(start, end, entity, 1.0, "the operator's list") for start, end in listed.find(leaf.text))

    return Finder((entity,), listed.trigger, find, "the operator's list")


def _allows(
    settings: tuple[UnsafeAllowSettings, ...], disabled: frozenset[str], denied: frozenset[str]
) -> Callable[[str, str], bool]:
    exact: dict[str, list[frozenset[str]]] = {}
    for one in settings:
        for value in one.values:
            exact.setdefault(fold(value).text.translate(_SEPARATORS), []).append(frozenset(one.entities))
    patterns = [(_compiled(one.pattern), frozenset(one.entities)) for one in settings if one.pattern is not None]

    def allows(entity: str, text: str) -> bool:
        if entity in denied:
            return False
        if entity in disabled:
            return True
        if any(not only or entity in only for only in exact.get(text.translate(_SEPARATORS), ())):
            return True
        return any((not only or entity in only) and pattern.fullmatch(text) for pattern, only in patterns)

    return allows


def _compiled(pattern: str, *, longest: bool = False) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.longest_match = longest
    options.max_mem = 64 << 20
    return re2.compile(pattern, options)
