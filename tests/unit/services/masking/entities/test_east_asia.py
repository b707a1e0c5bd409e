import pytest
from finding import found
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.east_asia import EAST_ASIA


def entities(text, *keys):
    return {entity for entity, _ in found(text, EAST_ASIA, *keys)}


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("900101-1234568", "KR_RRN"),
        ("9001011234568", "KR_RRN"),
        ("040229-3111111", "KR_RRN"),
        ("900101-5234568", "KR_FRN"),
        ("9001018234568", "KR_FRN"),
        ("220-81-62517", "KR_BRN"),
        ("1248100998", "KR_BRN"),
        ("13-05-123456-78", "KR_DRIVER_LICENSE"),
        ("M123A4567", "KR_PASSPORT"),
        ("S12345678", "KR_PASSPORT"),
        ("11010519491231002X", "CN_RESIDENT_ID"),
        ("A123456(3)", "HK_ID"),
    ],
)
def test_numbers_by_themselves(text, entity):
    assert (entity, text) in found(text, EAST_ASIA)


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("901301-1234568", "KR_RRN"),
        ("900101-5234568", "KR_RRN"),
        ("030229-3111111", "KR_RRN"),
        ("900101+1234568", "KR_RRN"),
        ("900101-1234568", "KR_FRN"),
        ("900101-9234568", "KR_FRN"),
        ("220-81-62518", "KR_BRN"),
        ("27-05-123456-78", "KR_DRIVER_LICENSE"),
        ("31-05-123456-78", "KR_DRIVER_LICENSE"),
        ("113-05-123456-78", "KR_DRIVER_LICENSE"),
        ("A123A4567", "KR_PASSPORT"),
        ("M123 A4567", "KR_PASSPORT"),
        ("110105194912310021", "CN_RESIDENT_ID"),
        ("11010519491331002X", "CN_RESIDENT_ID"),
        ("A123456788", "TW_NATIONAL_ID"),
        ("A323456789", "TW_NATIONAL_ID"),
        ("A123456(4)", "HK_ID"),
    ],
)
def test_what_breaks_the_rules_is_not_one(text, entity):
    assert entity not in entities(text)
    assert entity not in entities(text, "rrn", "passport", "national_id")


def test_what_can_hardly_be_chance_is_found_everywhere():
    assert entities("用户身份证号码是11010519491231002X谢谢", "order_id") == {"CN_RESIDENT_ID"}
    assert entities("hkid A123456(3).", "note") == {"HK_ID"}


def test_words_and_particles_speak_for_a_number():
    assert entities("여권번호는 M12345678입니다", "memo") == {"KR_PASSPORT"}
    assert entities("주민등록번호 9001011234567", "memo") == {"KR_RRN"}
    assert entities("9001015234568", "frn") == {"KR_FRN"}
    assert entities("2208162517", "businessRegistrationNumber") == {"KR_BRN"}
    assert entities("130512345678", "driver_license") == {"KR_DRIVER_LICENSE"}
    assert entities("123456789018", "myNumber") == {"JP_MY_NUMBER"}
    assert entities("個人番号: 1234 5678 9018", "memo") == {"JP_MY_NUMBER"}
    assert not entities("123456789019", "myNumber")
    assert entities("A1234563", "hkid") == {"HK_ID"}


@pytest.mark.parametrize("text", ["9001011234568", "1700000000000", "1248100998", "1700000000", "M12345678"])
def test_bare_numbers_elsewhere_are_nothing(text):
    assert not entities(text, "value")
    assert not entities(text, "created_at")
    assert not entities(f"batch {text} done", "message")


def test_an_order_number_that_begins_with_a_date_is_none():
    assert not entities("240105-1234567", "order")
    assert not entities("Order 240105-1234567 was sent", "message")


@given(st.integers(0, 17), st.sampled_from("0123456789"))
def test_another_digit_in_a_resident_id_is_refused(place, digit):
    text = "11010519491231002X"
    changed = text[:place] + digit + text[place + 1 :]
    assert bool(entities(changed, "text", "id")) == (changed == text)


@given(st.from_regex(r"[A-Z\u212a\u017f]{1,2}[0-9]{6}[0-9A]", fullmatch=True))
def test_checks_take_what_folds_to_ascii_letters(text):
    entities(text, "hkid")
    entities(text[0] + "1" + text[1:9].zfill(8), "national_id")
