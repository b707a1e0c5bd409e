"""What numbering plans say about a telephone number, through `phonenumbers` (a port of Google's libphonenumber).

It and its metadata are imported with the first number: 75 ms that `callgate --help` need not wait for. It is asked
about numbers that are split already, which takes a fifth of the time that its parser takes.
"""

from functools import cache
from types import ModuleType
from typing import Final

_REGIONS: Final = ("GB", "DE", "FR", "IT", "ES", "NL", "IL", "IN", "JP", "AU", "BR", "TW")
"""Countries whose national numbers are recognised without any word: they begin with a trunk 0 and have separators."""


@cache
def _library() -> ModuleType:
    import phonenumbers  # noqa: PLC0415 (see above)

    return phonenumbers


def valid_internationally(digits: str, written: str) -> tuple[bool, bool]:
    """Whether `digits`, which begin with a country's code, are of a possible length there, and whether they are valid.

    `written` tells whether a trunk zero was put into parentheses, `+41 (0)44 …`.
    """
    library = _library()
    code = next(
        (digits[:length] for length in (1, 2, 3) if int(digits[:length]) in library.COUNTRY_CODE_TO_REGION_CODE), ""
    )
    national = digits[len(code) :]
    if not code or not national.strip("0"):
        return False, False
    if "(0)" in written:
        national = national.removeprefix("0")
    spellings = (national, national[1:]) if national.startswith("0") else (national,)
    numbers = [
        library.PhoneNumber(
            country_code=int(code),
            national_number=int(spelling),
            italian_leading_zero=spelling.startswith("0") or None,
        )
        for spelling in spellings
    ]
    if any(map(library.is_valid_number, numbers)):
        return True, True
    return any(map(library.is_possible_number, numbers)), False


def valid_nationally(written: str) -> bool:
    """Whether a number with a trunk 0 is valid in one of the countries above."""
    library = _library()
    for region in _REGIONS:
        try:
            if library.is_valid_number(library.parse(written, region)):
                return True
        except library.NumberParseException:
            return False
    return False
