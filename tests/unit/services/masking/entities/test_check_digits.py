from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.check_digits import compact, luhn, real_birthday, real_day, verhoeff, weighted

DIGITS = st.text("0123456789", min_size=1, max_size=18)


def completed(digits, holds):
    return next(digits + check for check in "0123456789" if holds(digits + check))


@given(DIGITS, st.data())
def test_luhn_and_verhoeff_notice_a_changed_digit(digits, data):
    for holds in (luhn, verhoeff):
        whole = completed(digits, holds)
        place = data.draw(st.integers(0, len(whole) - 1))
        other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != whole[place]]))
        assert not holds(whole[:place] + other + whole[place + 1 :])


@given(DIGITS, st.data())
def test_verhoeff_notices_swapped_neighbours(digits, data):
    whole = completed(digits, verhoeff)
    place = data.draw(st.integers(0, len(whole) - 2))
    left, right = whole[place : place + 2]
    swapped = whole[:place] + right + left + whole[place + 2 :]
    assert verhoeff(swapped) == (left == right)


def test_published_examples():
    assert verhoeff("2363")
    assert not verhoeff("2364")
    assert luhn("79927398713")
    assert weighted("123", (3, 2, 1)) == 10
    assert compact("12.345-6/7 (8):9") == "123456789"


def test_only_days_of_the_calendar_are_days():
    assert real_day(2000, "0229")
    assert not real_day(1900, "0229")
    assert not real_day(2023, "0229")
    assert not real_day(2024, "0431")
    assert not real_day(2024, "1301")
    assert not real_day(2024, "0100")
    assert real_birthday("000229")
    assert not real_birthday("990229")
