"""The optional reader of names: it adds to what detectors find in long free text, and its absence is told clearly."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from callgate.errors import ConfigurationError
from callgate.masking_settings import MaskingSettings, NerSettings
from services.masking import composition
from services.masking.domain import mask
from services.masking.ner import finder_of
from services.masking.recogniser import Detectors

LONG = "Yesterday our colleague Amara Okafor wrote from Lagos that jane@example.com had not been answered."


def model(text: str) -> Any:
    """What spaCy's pipelines look like from here."""
    named = {"Amara Okafor": "PERSON", "Lagos": "GPE", "Yesterday": "DATE"}
    found = [
        SimpleNamespace(start_char=text.index(name), end_char=text.index(name) + len(name), label_=label)
        for name, label in named.items()
        if name in text
    ]
    return SimpleNamespace(ents=found)


def tools(monkeypatch: pytest.MonkeyPatch) -> composition.Tools:
    settings = NerSettings(model="some_model")
    monkeypatch.setattr(composition, "finder_of", lambda given: finder_of(given, lambda _: model))
    return composition.tools_of(MaskingSettings(ner=settings))


def test_adds_names_and_places_to_what_detectors_find(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tools(monkeypatch)
    masked = mask({"mail": LONG, "count": 1}, machine=made.machine)
    assert made.slow
    assert masked.view == {
        "mail": "Yesterday our colleague [PERSON] wrote from [LOCATION] that [EMAIL_ADDRESS] had not been answered.",
        "count": 1,
    }


def test_reads_no_short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mask({"mail": "from Amara Okafor in Lagos", "count": 1}, machine=tools(monkeypatch).machine).findings == ()


def test_a_model_that_raises_withholds_the_leaf() -> None:
    def broken(text: str) -> Any:
        raise RuntimeError(text)

    finder = finder_of(NerSettings(model="m"), lambda _: broken)
    machine = composition.Machine.of(Detectors(finders=(finder,)))
    masked = mask({"mail": LONG, "count": 1}, machine=machine)
    assert masked.view == {"mail": "[UNINSPECTABLE]", "count": 1}
    assert masked.uninspectable == ("detector_failed",)


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> Any:
        raise OSError("[E050] Can't find model")

    with pytest.raises(ConfigurationError, match="python -m spacy download some_model"):
        finder_of(NerSettings(model="some_model"), missing)
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(ConfigurationError, match="pip install spacy"):
        finder_of(NerSettings(model="some_model"))
