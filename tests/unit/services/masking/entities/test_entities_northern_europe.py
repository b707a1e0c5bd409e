"""Nordic identity codes: published examples, days that do not exist, and where they count."""

import pytest
from finding import found

from services.masking.entities.northern_europe import NORTHERN_EUROPE, finnish, norwegian, personnummer

_NORWEGIAN = "13097248022"


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("FI_PERSONAL_IDENTITY_CODE", "131052-308T"),
        ("FI_PERSONAL_IDENTITY_CODE", "131052-308t"),
        ("FI_PERSONAL_IDENTITY_CODE", "010594Y9032"),
        ("SE_PERSONNUMMER", "811228-9874"),
        ("SE_PERSONNUMMER", "8112289874"),
        ("SE_PERSONNUMMER", "19811228-9874"),
        ("SE_PERSONNUMMER", "701063-2391"),
        ("SE_ORGANISATIONSNUMMER", "202100-5489"),
        ("SE_ORGANISATIONSNUMMER", "16202100-5489"),
        ("NO_FODSELSNUMMER", _NORWEGIAN),
        ("NO_FODSELSNUMMER", "130972 48022"),
    ],
)
def test_a_lone_value_is_found(entity: str, text: str) -> None:
    assert (entity, text) in found(text, NORTHERN_EUROPE)


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("FI_PERSONAL_IDENTITY_CODE", "131052-308S"),
        ("FI_PERSONAL_IDENTITY_CODE", "311152-308T"),
        ("FI_PERSONAL_IDENTITY_CODE", "131052/308T"),
        ("FI_PERSONAL_IDENTITY_CODE", "131052-001X"),
        ("SE_PERSONNUMMER", "811228-9873"),
        ("SE_PERSONNUMMER", "811328-9873"),
        ("SE_PERSONNUMMER", "202100-5489"),
        ("SE_PERSONNUMMER", "17811228-9874"),
        ("SE_ORGANISATIONSNUMMER", "202100-5488"),
        ("SE_ORGANISATIONSNUMMER", "811228-9874"),
        ("NO_FODSELSNUMMER", "13097248023"),
        ("NO_FODSELSNUMMER", "00000000000"),
    ],
)
def test_what_the_rules_do_not_issue_is_refused(entity: str, text: str) -> None:
    assert entity not in {name for name, _ in found(text, NORTHERN_EUROPE)}


def test_a_missing_blank_hides_nothing() -> None:
    assert found("hetu on131052-308T.", NORTHERN_EUROPE) == {("FI_PERSONAL_IDENTITY_CODE", "131052-308T")}
    assert found("personnummer:198112289874.", NORTHERN_EUROPE) == {("SE_PERSONNUMMER", "198112289874")}


def test_strong_codes_count_in_any_member_weak_ones_where_a_word_speaks() -> None:
    assert found("131052-308T", NORTHERN_EUROPE, "note") == {("FI_PERSONAL_IDENTITY_CODE", "131052-308T")}
    assert found(_NORWEGIAN, NORTHERN_EUROPE, "note") == {("NO_FODSELSNUMMER", _NORWEGIAN)}
    assert found("811228-9874", NORTHERN_EUROPE, "note") == set()
    assert found("811228-9874", NORTHERN_EUROPE, "personnummer") == {("SE_PERSONNUMMER", "811228-9874")}
    assert found("202100-5489", NORTHERN_EUROPE, "orgNr") == {("SE_ORGANISATIONSNUMMER", "202100-5489")}


@pytest.mark.parametrize(("text", "right"), [("070761-4285", True), ("0707614285", True), ("320761-4285", False)])
def test_a_danish_number_needs_its_word_and_a_day(text: str, right: bool) -> None:
    assert (("DK_CPR", text) in found(text, NORTHERN_EUROPE, "cpr")) is right
    assert "DK_CPR" not in {name for name, _ in found(text, NORTHERN_EUROPE)}


def test_the_day_must_be_in_the_calendar_of_its_century() -> None:
    assert finnish("290204A9018") == finnish("290204a9018")
    assert not any(finnish(f"290203A901{sign}") for sign in "0123456789ABCDEFHJKLMNPRSTUVWXY")
    assert any(finnish(f"290204A901{sign}") for sign in "0123456789ABCDEFHJKLMNPRSTUVWXY")
    assert not any(personnummer(f"19010229123{digit}") for digit in range(10))


def test_every_changed_digit_of_a_norwegian_number_is_noticed() -> None:
    changed = {_NORWEGIAN[:i] + d + _NORWEGIAN[i + 1 :] for i in range(11) for d in "0123456789"} - {_NORWEGIAN}
    assert norwegian(_NORWEGIAN)
    assert not any(map(norwegian, changed))
