"""The arithmetic that national numbers share: weighted sums, Luhn, Verhoeff, and dates that exist.

Every function takes ASCII digits without separators, is total on them and linear.
"""

from collections.abc import Sequence
from operator import mul
from typing import Final

_SEPARATORS: Final = str.maketrans("", "", " -.:/()")
_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")
_DAYS_OF_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS: Final = frozenset(
    f"{month:02}{day:02}" for month, days in enumerate(_DAYS_OF_MONTH, 1) for day in range(1, days + 1)
)


def compact(text: str) -> str:
    """What remains without blanks, hyphens, dots, colons, slashes and parentheses."""
    return text.translate(_SEPARATORS)


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of products from the left, as far as the shorter of the two goes."""
    return sum(map(mul, map(int, digits), weights))


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    raw = digits.encode()
    return (sum(raw[-1::-2]) + sum(raw[-2::-2].translate(_DOUBLED)) - 48 * len(raw)) % 10 == 0


def _rotate(left: int, right: int) -> int:
    """The product in the dihedral group D5: 0 to 4 turn a pentagon, 5 to 9 turn it over too."""
    turned = (left + right if left < 5 else left - right) % 5
    return turned + 5 * ((left < 5) != (right < 5))


_PRODUCT: Final = tuple(tuple(_rotate(left, right) for right in range(10)) for left in range(10))
_STEP: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _permutations() -> tuple[tuple[int, ...], ...]:
    rows = [tuple(range(10))]
    while len(rows) < 8:
        rows.append(tuple(rows[-1][_STEP[digit]] for digit in range(10)))
    return tuple(rows)


_PERMUTED: Final = _permutations()


def verhoeff(digits: str) -> bool:
    """J. Verhoeff, Error Detecting Decimal Codes (1969): every single error and every neighbours' swap is noticed."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _PRODUCT[check][_PERMUTED[place & 7][int(digit)]]
    return check == 0


def real_day(year: int, month_day: str) -> bool:
    """Whether `MMDD` is a day of that year (Gregorian)."""
    if month_day == "0229":
        return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return month_day in _DAYS


def real_birthday(yymmdd: str) -> bool:
    """Whether `YYMMDD` is a day of the 20th or the 21st century."""
    year, month_day = int(yymmdd[:2]), yymmdd[2:]
    return real_day(1900 + year, month_day) or real_day(2000 + year, month_day)
