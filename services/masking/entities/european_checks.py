"""What several European numbers share beyond `check_digits`.

All are linear, and total on what their patterns let through.
"""

from typing import Final

from services.masking.entities.check_digits import real_day

_SEPARATORS: Final = str.maketrans("", "", " -./_+")
_KELVIN: Final = "\u212a"  # a K to patterns that ignore case, and to `str.lower`, but not to `str.upper`


def upper(text: str) -> str:
    """A to Z for whatever letters a pattern that ignores case takes for them."""
    return text.upper().replace(_KELVIN, "K")


def bare(text: str) -> str:
    """Upper case, without the separators that people write."""
    return upper(text.translate(_SEPARATORS))


def mod_11_10(digits: str) -> bool:
    """ISO/IEC 7064, MOD 11,10: the last digit is the check digit."""
    product = 10
    for digit in digits[:-1]:
        product = ((product + int(digit)) % 10 or 10) * 2 % 11
    return (product + int(digits[-1])) % 10 == 1


def icao_9303(text: str) -> bool:
    """ICAO Doc 9303, part 3, 4.9: weights 7, 3, 1; A is 10 … Z is 35; the last character is the check digit."""
    total = sum(int(character, 36) * (7, 3, 1)[index % 3] for index, character in enumerate(text[:-1]))
    return text[-1] == str(total % 10)


def is_date(year: int, month: int, day: int) -> bool:
    """Whether there is such a day in the calendar."""
    return real_day(year, f"{month:02}{day:02}")


def is_day(month: int, day: int) -> bool:
    """Whether some year has such a day, where the century is not known."""
    return is_date(2000, month, day)
