"""Presidio's analyzer in an environment of its own: a question as JSON on standard input, an answer on standard output.

Only its pattern recognisers run: there is no model. Each figure is taken where Presidio does best: what it finds with
a blank spaCy tokenizer, which gives it the words next to a candidate; its time with its own engine that does nothing.
Imports nothing of Callgate but what the standard library runs.
"""

import inspect
import json
import logging
import sys
from importlib.metadata import version
from typing import Any

import spacy
from presidio_analyzer import AnalyzerEngine, PatternRecognizer, RecognizerRegistry, predefined_recognizers
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine, NoOpNlpEngine

from cli.timing import processor_time

THRESHOLD = 0.4


class BlankEngine(NlpEngine):  # type: ignore[misc]  # of an environment that type checking does not know
    """Words, and nothing known about them."""

    def __init__(self) -> None:
        self._nlp = spacy.blank("en")
        self._nlp.max_length = 1 << 30

    def load(self) -> None:
        """There is nothing to load."""

    def is_loaded(self) -> bool:
        return True

    def process_text(self, text: str, language: str) -> Any:
        words = self._nlp.make_doc(text)
        lemmas = [word.lower_ for word in words]
        return NlpArtifacts([], words, [word.idx for word in words], lemmas, self, language)

    def process_batch(self, texts: Any, language: str, *_: Any, **__: Any) -> Any:
        return ((text, self.process_text(text, language)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:  # noqa: ARG002
        return bool(self._nlp.vocab[word].is_stop)

    def is_punct(self, word: str, language: str) -> bool:  # noqa: ARG002
        return bool(self._nlp.vocab[word].is_punct)

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return ["en"]


def default_engine(nlp: Any) -> Any:
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    registry.remove_recognizer("SpacyRecognizer")  # shows what a model said
    return AnalyzerEngine(registry=registry, nlp_engine=nlp)


def full_engine(nlp: Any) -> Any:
    """With every recogniser that comes with Presidio and needs neither model nor service."""
    registry = RecognizerRegistry()
    for _, kind in inspect.getmembers(predefined_recognizers, inspect.isclass):
        if issubclass(kind, (PatternRecognizer, predefined_recognizers.PhoneRecognizer)):
            registry.add_recognizer(kind(supported_language="en"))  # type: ignore[call-arg]
    return AnalyzerEngine(registry=registry, nlp_engine=nlp)


def found(engine: Any, text: str) -> list[list[Any]]:
    results = engine.analyze(text, language="en", score_threshold=THRESHOLD)
    return [[one.entity_type, one.start, one.end] for one in sorted(results, key=lambda one: -one.score)]


def main() -> None:
    logging.disable(logging.WARNING)
    question = json.load(sys.stdin)
    nlp = BlankEngine()
    engines = {"default": default_engine(nlp), "all": full_engine(nlp)}
    answer: dict[str, Any] = {"version": version("presidio-analyzer"), "engines": {}}
    for name, engine in engines.items():
        texts = [[found(engine, text) for text in texts] for texts in question["texts"]]
        recognisers = len(engine.registry.get_recognizers(language="en", all_fields=True))
        answer["engines"][name] = {"recognisers": recognisers, "texts": texts}
    nothing = NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "no_op"}])
    nothing.load()
    default = default_engine(nothing)
    times = {}
    for name, text in question["documents"].items():
        rounds = 5 if len(text) < 50_000 else 3
        times[name] = processor_time(lambda text=text: found(default, text), rounds=rounds)  # type: ignore[misc]
    answer["times"] = times
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
