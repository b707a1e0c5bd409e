"""Names and places in long free text, by a spaCy model that the operator installs. Off unless configured.

It takes milliseconds where the detectors take microseconds, so masking that uses it leaves the event loop, and it reads
only texts of many words. It may find more than the detectors do, and never less: what it gives is merged with theirs.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from callgate.errors import ConfigurationError
from callgate.masking_settings import NerSettings
from services.masking.leaf import Leaf
from services.masking.recogniser import Finder, Hit

_SCORE: Final = 0.6
_STEPS: Final = 200
"""A code point: spaCy's small models take some 5 µs for one."""


def finder_of(settings: NerSettings, load: Callable[[str], Any] | None = None) -> Finder:
    """The finder of a model. Raises ConfigurationError where spaCy or the model is not installed; `load` is spaCy's."""
    model = _loaded(settings.model, load)
    entities = dict(settings.entities)
    wanted = re.compile(rf"(?:\w+[^\w\0]+){{{settings.words - 1}}}\w")

    def find(leaf: Leaf) -> Iterator[Hit]:
        if not wanted.search(leaf.text):
            return
        leaf.spend(_STEPS * len(leaf.text))
        for found in model(leaf.text).ents:
            entity = entities.get(found.label_)
            if entity is not None and found.end_char > found.start_char:
                yield Hit(found.start_char, found.end_char, entity, _SCORE, "named entity recognition")

    # Four words in a row: a cheap sign of prose; how many there must be is asked of the leaf.
    trigger = r"\pL+[ ,;:]+\pL+[ ,;:]+\pL+[ ,;:]+\pL"
    return Finder(tuple(dict.fromkeys(entities.values())), trigger, find, "named entity recognition", settings.model)


def _loaded(model: str, load: Callable[[str], Any] | None) -> Any:
    if load is None:
        try:
            import spacy  # noqa: PLC0415  # the operator's, not ours

            load = spacy.load
        except ImportError:
            raise ConfigurationError(
                "no_ner", "masking.ner needs spaCy: pip install spacy, and the model that masking.ner.model names"
            ) from None
    try:
        return load(model)
    except (OSError, ValueError):
        raise ConfigurationError(
            "no_ner", f"masking.ner.model {model}: no such model is installed; python -m spacy download {model}"
        ) from None
