"""Check digits that European numbers share."""

from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.european_checks import bare, icao_9303, is_date, is_day, mod_11_10


def test_published_examples() -> None:
    assert mod_11_10("794623")  # ISO/IEC 7064
    assert icao_9303("L898902C36")  # ICAO Doc 9303, part 4
    assert icao_9303("7408122")


@given(st.text("0123456789", min_size=1, max_size=12))
def test_mod_11_10_has_one_check_digit_and_sees_every_changed_digit(payload: str) -> None:
    numbers = [payload + digit for digit in "0123456789" if mod_11_10(payload + digit)]
    assert len(numbers) == 1
    number = numbers[0]
    for place, right in enumerate(number):
        wrong = str((int(right) + 1) % 10)
        assert not mod_11_10(number[:place] + wrong + number[place + 1 :])


@given(st.text("0123456789CFGHJKLMNPRTVWXYZ", min_size=1, max_size=12))
def test_papers_have_one_check_digit(serial: str) -> None:
    assert len([digit for digit in "0123456789" if icao_9303(serial + digit)]) == 1


def test_days() -> None:
    assert is_date(2000, 2, 29)
    assert not is_date(1900, 2, 29)
    assert is_day(2, 29)
    assert not any((is_day(0, 1), is_day(13, 1), is_day(4, 31), is_day(1, 0)))


def test_bare_reads_letters_as_patterns_do() -> None:
    assert bare("\u212a-1.\u017f/2") == "K1S2"
