"""The table of what is found says nothing that the detectors do not, and leaves nothing out."""

from services.masking.catalogue import BUILT_IN, catalogue, entities
from services.masking.entities.key_tables import TABLE
from services.masking.recogniser import BAR, CERTAIN, LONE


def test_every_detector_and_key_has_its_row() -> None:
    rows = {(row.entity, row.found, row.evidence) for row in catalogue()}
    for one in BUILT_IN.recognisers:
        assert any(entity == one.entity and evidence == one.evidence for entity, _, evidence in rows)
    for finder in BUILT_IN.finders:
        for entity in finder.entities:
            assert (entity, "anywhere", finder.evidence) in rows
    for entity, _ in TABLE.values():
        assert any(row[:2] == (entity, "under its key") for row in rows)


def test_where_something_is_found_follows_from_its_score() -> None:
    found = {"anywhere": (CERTAIN, 1.1), "anywhere but under identifiers": (BAR, CERTAIN)}
    found |= {"by itself, or with a word": (LONE, BAR), "with a word": (0.0, LONE)}
    for row in catalogue():
        if row.found not in found:
            continue
        low, high = found[row.found]
        scores = [one.score for one in BUILT_IN.recognisers if (one.entity, one.evidence) == (row.entity, row.evidence)]
        finders = [one for one in BUILT_IN.finders if row.entity in one.entities and one.evidence == row.evidence]
        assert finders or any(low <= score < high for score in scores), row


def test_evidence_is_always_given_and_nothing_is_said_twice() -> None:
    rows = catalogue()
    assert len(rows) == len(set(rows))
    assert all(row.evidence and row.entity.isupper() for row in rows)
    assert all("\n" not in row.evidence + row.source for row in rows)
    assert rows == tuple(sorted(rows, key=lambda row: row.entity))


def test_what_can_only_be_found_with_a_word_has_words() -> None:
    for one in BUILT_IN.recognisers:
        assert one.words or one.score >= LONE, one.entity
        assert all(word == word.lower() and len(word) > 1 for word in one.words), one.entity


def test_entities_are_at_least_those_that_people_ask_for() -> None:
    wanted = "CREDIT_CARD US_SSN IBAN_CODE EMAIL_ADDRESS IP_ADDRESS PHONE_NUMBER CRYPTO PERSON STREET_ADDRESS PASSWORD"
    assert {*wanted.split(), "API_KEY", "JWT", "PRIVATE_KEY", "DATE_OF_BIRTH", "MAC_ADDRESS"} <= entities()
