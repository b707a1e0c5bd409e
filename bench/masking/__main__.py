"""Measures and prints; `make bench-masking`. No figure here decides whether anything passes."""

import argparse
import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench.masking import presidio, scoring, speed
from bench.masking.corpora import ordinary, telling
from bench.masking.scoring import CORE, OPEN, STRUCTURED, Case, Share, Span
from cli.mask_bench import documents
from services.masking.composition import Tools, tools_of
from services.masking.domain import mask

_SEED: Final = 20260314
_ORDINARY: Final = 1_000_000
"""Characters."""
_DEAREST: Final = 8

_DESCRIPTION = """\
Masking: processor time, and with labelled texts what is found and what is taken for something. A span counts as found
where every letter and digit of it is masked. `own` counts what was found under the label's name, `any` whatever it was
taken for."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.masking", description=_DESCRIPTION)
    parser.add_argument(
        "--cases",
        type=Path,
        help="a file of labelled values, one JSON object a line: "
        '{"entity": "US_SSN", "text": "…", "spans": [[0, 11]]}; '
        "half-open spans in code points, none where nothing of that entity may be found",
    )
    parser.add_argument(
        "--sentences",
        type=Path,
        help='a file of labelled sentences, one JSON object a line: {"text": "…", "spans": [{"entity": "PERSON", '
        '"start": 11, "end": 17}]}',
    )
    parser.add_argument(
        "--presidio",
        action="store_true",
        help="measure Presidio's analyzer on the same, without a model; installed into .bench/presidio where needed",
    )
    parser.add_argument("--misses", action="store_true", help="name what was missed or wrong (quotes the files' texts)")
    parser.add_argument("--no-hostile", action="store_true", help="leave the hostile documents out")
    options = parser.parse_args()
    now = speed.reference()
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores")
    print(
        f"this machine now: json.loads and dumps of 100 KB {now.json_ms:.2f} ms; "
        f"Python {now.additions:.0f} M additions/s"
    )
    tools = tools_of(None)
    texts = _Texts(options.cases, options.sentences)
    other = _presidio(texts) if options.presidio else None
    _print_speed(tools, other)
    if not options.no_hostile:
        _print_hostile(tools)
    _print_accuracy(texts, _finder(tools), other, misses=options.misses)


class _Texts:
    """What is looked at, the same for everybody."""

    def __init__(self, cases: Path | None, sentences: Path | None) -> None:
        self.cases = scoring.read_cases(cases) if cases else []
        self.sentences = scoring.read_sentences(sentences) if sentences else []
        self.ordinary = list(ordinary(_SEED, _ORDINARY))
        self.ordinary_texts = [json.dumps(document, ensure_ascii=False) for document in self.ordinary]

    @property
    def size(self) -> int:
        return sum(map(len, self.ordinary_texts))


def _presidio(texts: _Texts) -> presidio.Answer | None:
    asked = {name: text.decode() for name, text in documents(*speed.SIZES[:3]).items()}
    lists = [[case.text for case in texts.cases], [case.text for case in texts.sentences], texts.ordinary_texts]
    try:
        return presidio.ask(presidio.environment(), asked, lists)
    except presidio.UnavailableError as error:
        print(f"without Presidio: {error}")
        return None


def _finder(tools: Tools) -> scoring.Finder:
    def found(text: str) -> Sequence[Span]:
        return _spans(text, tools)

    return found


def _spans(value: Any, tools: Tools) -> list[Span]:
    readings = mask(value, machine=tools.machine, disguise=tools.disguise(None), explain=True).readings
    return [Span(one.entity, one.start, one.end) for one in readings]


# Speed


def _print_speed(tools: Tools, other: presidio.Answer | None) -> None:
    print("\n== JSON text in, masked JSON text out; processor time")
    if other:
        print(f"   beside Presidio {other.version}, {other.recognisers['default']} recognisers, finding alone")
    for one in speed.ordinary_speed(tools):
        line = (
            f"{one.document:<24} {one.size:>8} bytes {one.findings:>2} findings  best {one.times.best * 1e3:8.3f} ms  "
            f"median {one.times.median * 1e3:8.3f} ms  {one.times.best / one.size * 1e9:4.0f} ns/byte"
        )
        if other and (times := other.times.get(one.document)):
            line += f"  Presidio {times.best * 1e3:8.2f} ms ({times.best / one.times.best:.0f} times)"
        print(line)


def _print_hostile(tools: Tools) -> None:
    measured = speed.hostile_speed(tools)
    print(f"\n== {len(measured)} hostile documents of 100 KB; masking alone, and what a character costs beside 12 KB")
    for one in measured[:_DEAREST]:
        print(f"{one.name:<42} {one.cost:7.0f} ns/character  {one.growth:4.1f} times")
    costs = sorted(one.cost for one in measured)
    growth = max(measured, key=lambda one: one.growth)
    print(f"half of them cost less than {costs[len(costs) // 2]:.0f} ns; the steepest is {growth.name}, ", end="")
    print(f"{growth.growth:.1f} times at {growth.cost:.0f} ns")


# Accuracy


def _print_accuracy(texts: _Texts, find: scoring.Finder, other: presidio.Answer | None, *, misses: bool) -> None:
    tools = tools_of(None)
    finders: dict[str, list[list[Sequence[Span]]]] = {
        "Callgate": [[find(case.text) for case in texts.cases], [find(case.text) for case in texts.sentences]]
    }
    if other:
        finders |= {
            f"Presidio, {name} ({other.recognisers[name]})": [list(spans) for spans in found[:2]]
            for name, found in other.found.items()
        }
    if texts.cases:
        _print_cases(texts.cases, finders)
    if texts.sentences:
        _print_sentences(texts.sentences, finders)
    print(f"\n== JSON; ordinary: {texts.size / 1000:.0f} KB with nothing of anybody's in it")
    _print_telling(tools, misses=misses)
    wrong = Counter(one for document in texts.ordinary for one in _leaf_alarms(document, tools))
    _print_alarms("Callgate", wrong, texts.size)
    if other:
        for name, lists in other.found.items():
            nothing = [(Case(text, ()), spans) for text, spans in zip(texts.ordinary_texts, lists[2], strict=True)]
            _print_alarms(f"Presidio, {name}", scoring.alarms(nothing), texts.size)
    if misses:
        _print_misses(texts, finders["Callgate"])


def _print_cases(cases: list[Case], finders: dict[str, list[list[Sequence[Span]]]]) -> None:
    print(f"\n== {len(cases)} labelled cases of {len({case.entity for case in cases})} entities")
    chosen: dict[str, Callable[[Case], bool]] = {"core": lambda case: case.entity in CORE, "all": lambda _: True}
    for name, belongs in chosen.items():
        for who, lists in finders.items():
            pairs = zip(cases, lists[0], strict=True)
            score = scoring.score_cases((case, spans) for case, spans in pairs if belongs(case))
            print(
                f"{name:<5} {who:<22} recall any {score.recall}, own {score.own_recall}; "
                f"negatives flagged any {score.flagged}, own {score.own_flagged}"
            )


def _print_sentences(sentences: list[Case], finders: dict[str, list[list[Sequence[Span]]]]) -> None:
    size = sum(len(case.text) for case in sentences)
    print(f"\n== {len(sentences)} sentences; recall by entity, whatever it was found as")
    for who, lists in finders.items():
        shares = scoring.score_sentences(zip(sentences, lists[1], strict=True))
        print(f"{who:<28} structured {scoring.together(shares, STRUCTURED)}")
        parts = sorted(shares.items(), key=lambda item: (item[0] not in STRUCTURED, item[0]))
        print("   " + ", ".join(f"{entity} {share.hits}/{share.all}" for entity, share in parts))
        _print_alarms("   not labelled", scoring.alarms(zip(sentences, lists[1], strict=True)), size)


def _print_telling(tools: Tools, *, misses: bool) -> None:
    """A leaf is found where none of its letters and digits is left, or a name's parts apart."""
    recall, own = Share(), Share()
    missed: Counter[str] = Counter()
    for told in telling(_SEED):
        value: Any = told.document
        for step in told.path:
            value = value[step]
        pointer, text = "/" + "/".join(map(str, told.path)), str(value)
        readings = mask(told.document, machine=tools.machine, explain=True).readings
        spans = [Span(one.entity, one.start, one.end) for one in readings if one.path == pointer]
        whole = Span(told.entity, 0, len(text))
        found = scoring.covered(text, whole, spans)
        recall.count(found)
        own.count(scoring.covered(text, whole, [one for one in spans if one.entity == told.entity]))
        missed[f"{pointer}: {text}"] += not found
    print(f"Callgate: telling keys, recall any {recall}, own {own}")
    for name, count in missed.most_common(20) if misses else ():
        if count:
            print(f"   missed {name}")


def _leaf_alarms(document: Any, tools: Tools) -> Iterator[str]:
    seen: set[tuple[str, int, int]] = set()
    for one in mask(document, machine=tools.machine, explain=True).readings:
        place = (one.path, one.start, one.end)
        if one.entity not in OPEN and place not in seen:
            yield one.entity
        seen.add(place)


def _print_alarms(who: str, wrong: Counter[str], size: int) -> None:
    total = sum(wrong.values())
    names = ", ".join(f"{entity} {count}" for entity, count in wrong.most_common(6))
    print(f"{who}: {total / size * 100_000:.2f} false alarms per 100 KB ({total}{': ' if names else ''}{names})")


def _print_misses(texts: _Texts, lists: list[list[Sequence[Span]]]) -> None:
    print("\n== misses and false alarms")
    for case, spans in zip(texts.cases, lists[0], strict=True):
        missed = [span for span in case.spans if not scoring.covered(case.text, span, spans)]
        own = [span for span in spans if span.entity == case.entity]
        if missed or (not case.spans and own):
            print(f"{'missed' if missed else 'flagged':<8} {case.entity} {case.text!r} {missed or own}")
    for case, spans in zip(texts.sentences, lists[1], strict=True):
        for span in case.spans:
            if span.entity in STRUCTURED and not scoring.covered(case.text, span, spans):
                print(f"missed   {span.entity} {case.text[span.start : span.end]!r} in {case.text!r}")


if __name__ == "__main__":
    main()
