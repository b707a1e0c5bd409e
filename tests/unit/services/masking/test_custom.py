"""The operator's own detectors and lists: what they find and spare, and what is refused at start, and how."""

from pathlib import Path
from typing import Any

import pytest

from callgate.errors import ConfigurationError
from callgate.masking_settings import MaskingSettings
from services.masking.custom import MOST_VALUES, Custom, compile_custom
from services.masking.leaf import Leaf
from services.masking.recogniser import Detectors, Finder, Recogniser
from services.masking.scanning import Scanner
from services.masking.word_list import WordList

KNOWN = ("CREDIT_CARD", "PERSON", "SECRET", "API_KEY")
STAFF = {"entity": "STAFF_NO", "pattern": r"\bE-(\d{5})\b"}


def compiled(read: Any = None, **masking: Any) -> Custom:
    settings = MaskingSettings.model_validate(masking)
    return compile_custom(settings, KNOWN, read=read) if read else compile_custom(settings, KNOWN)


def refusal(read: Any = None, **masking: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        compiled(read, **masking)
    return str(refused.value)


def found(custom: Custom, text: str, *keys: str) -> set[tuple[str, str]]:
    machine = Scanner(custom.joined(Detectors()))
    return {
        (hit.entity, text[hit.start : hit.end]) for hit in machine.hits(Leaf(text, keys, lambda _: None, lone=not keys))
    }


def test_nothing_configured_changes_nothing() -> None:
    built_in = Detectors((Recogniser("PERSON", "x"),))
    custom = compiled()
    assert custom.joined(built_in) == built_in
    assert not custom.allows("PERSON", "Jane Roe")


# Detectors


def test_a_pattern_masks_its_group() -> None:
    custom = compiled(detectors=[STAFF])
    assert found(custom, "ask E-12345, or E-54321", "note") == {("STAFF_NO", "12345"), ("STAFF_NO", "54321")}
    assert found(custom, "E-123456", "note") == set()


def test_a_weak_pattern_needs_a_word() -> None:
    custom = compiled(detectors=[{**STAFF, "score": 0.2, "words": ["staff number"]}])
    assert found(custom, "E-12345", "note") == set()
    assert found(custom, "his Staff Number: E-12345", "note") == {("STAFF_NO", "12345")}
    assert found(custom, "E-12345", "staffNumber") == {("STAFF_NO", "12345")}


def test_a_pattern_may_be_kept_to_keys() -> None:
    custom = compiled(detectors=[{"entity": "STAFF_NO", "pattern": r"\d{5}", "keys": ["staffNo"]}])
    assert found(custom, "12345", "employee", "staff_no") == {("STAFF_NO", "12345")}
    assert found(custom, "12345", "order") == set()
    assert found(custom, "12345") == set()


def test_a_pattern_stays_within_its_text() -> None:
    custom = compiled(detectors=[{"entity": "REST", "pattern": "(?s)from .*"}])
    scanner = Scanner(custom.joined(Detectors()))
    leaves = [Leaf(text, (index,), lambda _: None) for index, text in enumerate(("from here", "to there"))]
    scan = scanner.scan([leaf.text for leaf in leaves], leaves.__getitem__, "", lone=False)
    assert {index: [hit[:2] for hit in hits] for index, hits in scan.hits.items()} == {0: [(0, 9)]}


def test_examples_are_tried() -> None:
    good = {"match": ["E-12345", "see E-00000"], "no_match": ["E-1234", "F-12345"]}
    compiled(detectors=[{**STAFF, "examples": good}])
    keyed = {"entity": "STAFF_NO", "pattern": r"\d{5}", "keys": ["staff no"], "examples": {"match": ["12345"]}}
    compiled(detectors=[keyed])
    why = refusal(detectors=[STAFF, {**STAFF, "examples": {"match": ["E-12345", "sesame 42"]}}])
    assert "masking.detectors.1 (STAFF_NO): examples.match.1 is not found" in why
    assert "sesame" not in why
    why = refusal(detectors=[{**STAFF, "examples": {"no_match": ["E-99999"]}}])
    assert "masking.detectors.0 (STAFF_NO): examples.no_match.0 is found" in why
    assert "99999" not in why


def test_a_pattern_that_matches_nul_is_refused() -> None:
    assert "masking.detectors.0 (NUL): the pattern" in refusal(detectors=[{"entity": "NUL", "pattern": r"\x00"}])


# Lists


def test_listed_words_are_masked_in_any_case() -> None:
    custom = compiled(deny=[{"entity": "CODE_NAME", "values": ["Blue Heron", "heron-7", "北京"]}])
    assert found(custom, "the BLUE HERON plan", "sku") == {("CODE_NAME", "BLUE HERON")}
    assert found(custom, "Heron-7 and in 北京市", "note") == {("CODE_NAME", "Heron-7"), ("CODE_NAME", "北京")}
    assert found(custom, "blue herons, heron-77, BlueHeron", "note") == set()


@pytest.mark.parametrize("others", [(), tuple(f"name {at}" for at in range(300))], ids=["few", "many"])
@pytest.mark.parametrize("text", ["Blue  Heron", "BLUE\nheron", "blue \r\n\tHeron"])
def test_a_blank_in_a_listed_phrase_is_any_blanks(text: str, others: tuple[str, ...]) -> None:
    custom = compiled(deny=[{"entity": "CODE_NAME", "values": ["Blue Heron", "A b", *others]}])
    for before, after in (("", ""), ("see  \n", "\n\n soon")):
        whole = f"{before}{text}{after}"
        (hit,) = WordList(("Blue Heron", *others)).find(whole)
        assert whole[slice(*hit)] == text
        assert found(custom, whole, "note") == {("CODE_NAME", text)}
    assert found(custom, "a \n B", "note") == {("CODE_NAME", "a \n B")}


def test_a_list_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("# code names\n\n  Blue Heron \nKestrel\n", encoding="utf-8")
    custom = compiled(deny=[{"entity": "CODE_NAME", "file": str(path), "values": ["Ibis"]}])
    assert found(custom, "kestrel, ibis, # code names", "note") == {("CODE_NAME", "kestrel"), ("CODE_NAME", "ibis")}


def test_lists_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    deny = [{"entity": "CODE_NAME", "file": str(tmp_path / "absent.txt")}]
    assert "masking.deny.0 (CODE_NAME):" in refusal(deny=deny)
    assert "lists nothing" in refusal(lambda _: "# none\n", deny=deny)
    why = refusal(lambda _: "sesame\nq\n", deny=deny)
    assert "value 2 is shorter" in why
    assert "sesame" not in why
    assert "at most" in refusal(lambda _: "\n".join(f"name {at}" for at in range(MOST_VALUES + 1)), deny=deny)


def test_a_long_list_is_looked_up() -> None:
    values = "\n".join(f"customer {at} of many" for at in range(5000))
    custom = compiled(lambda _: values, deny=[{"entity": "CUSTOMER", "file": "list"}])
    assert found(custom, "for Customer 4711 of many, not customer 5001 of many", "note") == {
        ("CUSTOMER", "Customer 4711 of many")
    }


def test_the_longest_value_wins() -> None:
    listed = WordList(("blue", "blue heron", "blue heron 7"))
    assert list(listed.find("Blue Heron 7 blue heron 77 blueish")) == [(0, 12), (13, 23)]


def test_short_values_are_looked_for_in_short_texts() -> None:
    assert compiled(deny=[{"entity": "CODE_NAME", "values": ["X9", "Kestrel"]}]).joined(Detectors()).shortest == 2
    assert compiled(detectors=[STAFF]).joined(Detectors()).shortest == 1
    assert compiled().joined(Detectors(shortest=3)).shortest == 3


# What is spared


def test_allowed_values_are_compared_without_separators() -> None:
    custom = compiled(allow=[4242424242424242, "Jane Roe"])
    assert custom.allows("CREDIT_CARD", "4242 4242 4242 4242")
    assert custom.allows("CREDIT_CARD", "4242-4242-4242-4242")
    assert not custom.allows("CREDIT_CARD", "4111111111111111")
    assert custom.allows("PERSON", "Jane Roe")
    assert not custom.allows("PERSON", "Jane Roe jr")


def test_allowed_patterns_must_match_the_whole() -> None:
    custom = compiled(allow=[{"pattern": r"4242[0-9 ]+", "entities": ["CREDIT_CARD"]}])
    assert custom.allows("CREDIT_CARD", "4242 4242 4242 4242")
    assert not custom.allows("CREDIT_CARD", "4242 4242 4242 4242 x")
    assert not custom.allows("PERSON", "4242")


def test_what_a_list_denies_is_never_allowed() -> None:
    custom = compiled(deny=[{"entity": "CODE_NAME", "values": ["Kestrel"]}], allow=["Kestrel"])
    assert not custom.allows("CODE_NAME", "Kestrel")
    assert custom.allows("PERSON", "Kestrel")


def test_disabled_entities_are_not_looked_for() -> None:
    both = Finder(("SECRET", "API_KEY"), "x", lambda _: ())
    built_in = Detectors((Recogniser("PERSON", "a"), Recogniser("CREDIT_CARD", "b")), (both,))
    custom = compiled(disable=["PERSON", "SECRET"])
    assert [one.entity for one in custom.joined(built_in).recognisers] == ["CREDIT_CARD"]
    assert custom.joined(built_in).finders == (both,)
    assert custom.allows("SECRET", "x")
    assert not custom.allows("API_KEY", "x")
    assert compiled(disable=["SECRET", "API_KEY"]).joined(built_in).finders == ()


def test_only_what_is_built_in_can_be_disabled() -> None:
    assert "masking.disable.1: PERSN is no entity" in refusal(disable=["PERSON", "PERSN"])
    own = {"entity": "PERSON", "values": ["Jane Roe"]}
    assert "masking.disable.0: PERSON has detectors or lists of your own" in refusal(deny=[own], disable=["PERSON"])
