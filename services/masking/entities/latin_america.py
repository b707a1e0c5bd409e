"""Brazil, Mexico, Argentina and Chile."""

from operator import mul
from typing import Final

from services.masking.entities.check_digits import compact, real_birthday, weighted
from services.masking.recogniser import Finder, Recogniser


def _check_of_11(total: int) -> int:
    """Brazil's reading of a remainder: 10 and 11 are written 0."""
    return 0 if total % 11 < 2 else 11 - total % 11


def _cpf(text: str) -> bool:
    digits = compact(text)
    return (
        len(set(digits)) > 1
        and _check_of_11(weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2))) == int(digits[9])
        and _check_of_11(weighted(digits, (11, 10, 9, 8, 7, 6, 5, 4, 3, 2))) == int(digits[10])
    )


def _cnpj(text: str) -> bool:
    """Letters, which are given since 2026, count as their ASCII code less that of 0."""
    values = [ord(character) - 48 for character in compact(text)]
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    return (
        len(set(values)) > 1
        and _check_of_11(sum(map(mul, values, weights[1:]))) == values[12]
        and _check_of_11(sum(map(mul, values, weights))) == values[13]
    )


_CURP_VALUES: Final = {letter: value for value, letter in enumerate("0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ")}
_RFC_VALUES: Final = {letter: value for value, letter in enumerate("0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ Ñ")}


def _curp(text: str) -> bool:
    letters = text.upper()
    if not letters.isascii() or not real_birthday(letters[4:10]):
        return False
    total = sum(_CURP_VALUES[letter] * (18 - place) for place, letter in enumerate(letters[:17]))
    return -total % 10 == int(letters[17])


def _rfc(text: str) -> bool:
    """A company's has one letter less, and counts as if a blank stood before it."""
    letters = compact(text).rjust(13)
    if not real_birthday(letters[4:10]):
        return False
    total = sum(_RFC_VALUES[letter] * (13 - place) for place, letter in enumerate(letters[:12]))
    return "0123456789A0"[11 - total % 11] == letters[12]


def _rut(text: str) -> bool:
    core = compact(text).upper()
    total = weighted(core[-2::-1], (2, 3, 4, 5, 6, 7, 2, 3))
    return "0123456789K0"[11 - total % 11] == core[-1]


def _cuit(text: str) -> bool:
    digits = compact(text)
    check = -weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return digits[:2] in ("20", "23", "24", "25", "26", "27", "30", "33", "34") and check == int(digits[10])


_CPF: Final = ("cpf", "tax id")
_CNPJ: Final = ("cnpj", "tax id")
_RFC: Final = ("rfc", "registro federal", "tax id")
_RUT: Final = ("rut", "tax id", "rol unico tributario", "rol único tributario")
_DNI: Final = ("dni", "documento nacional", "documento nacional de identidad")
_CUIT: Final = ("cuit", "cuil", "tax id")

_RECEITA: Final = "Receita Federal do Brasil, CPF and CNPJ check digits"
_RENAPO: Final = "RENAPO, Instructivo normativo para la asignación de la CURP"
_SAT: Final = "SAT, Registro Federal de Contribuyentes"
_SII: Final = "Servicio de Impuestos Internos, RUT"
_AFIP: Final = "AFIP, CUIT"
_TWO_CHECKS: Final = "two check digits (mod 11)"
_MOD_11: Final = "check digit (mod 11)"

LATIN_AMERICA: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(
        "BR_CPF",
        r"\b\d{3}\.\d{3}\.\d{3}-\d{2}\b",
        check=_cpf,
        score=0.97,
        words=_CPF,
        evidence="groups, " + _TWO_CHECKS,
        source=_RECEITA,
    ),
    Recogniser("BR_CPF", digits=(11,), check=_cpf, score=0.28, words=_CPF, evidence=_TWO_CHECKS, source=_RECEITA),
    Recogniser(
        "BR_CNPJ",
        r"\b[0-9A-Z]{2}\.[0-9A-Z]{3}\.[0-9A-Z]{3}/[0-9A-Z]{4}-\d{2}\b",
        check=_cnpj,
        score=0.97,
        words=_CNPJ,
        evidence="groups, " + _TWO_CHECKS,
        source=_RECEITA,
    ),
    Recogniser("BR_CNPJ", digits=(14,), check=_cnpj, score=0.46, words=_CNPJ, evidence=_TWO_CHECKS, source=_RECEITA),
    Recogniser(
        "MX_CURP",
        r"(?i)\b[A-Z][AEIOUX][A-Z]{2}\d{6}[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[A-Z0-9]\d\b",
        check=_curp,
        score=0.97,
        words=("curp",),
        evidence="date, sex, check digit (mod 10)",
        source=_RENAPO,
    ),
    Recogniser(
        "MX_RFC",
        r"\b[A-Z&]{3,4}\d{6}[A-Z0-9]{2}[0-9A]\b",
        check=_rfc,
        score=0.6,
        words=_RFC,
        evidence="date, " + _MOD_11,
        source=_SAT,
    ),
    Recogniser(
        "CL_RUT",
        r"\b\d{1,2}\.\d{3}\.\d{3}-[\dKk]\b",
        check=_rut,
        score=0.8,
        words=_RUT,
        evidence="groups, " + _MOD_11,
        source=_SII,
    ),
    Recogniser("CL_RUT", r"\b\d{7,8}-[\dKk]\b", check=_rut, score=0.35, words=_RUT, evidence=_MOD_11, source=_SII),
    Recogniser(
        "AR_DNI",
        r"\b\d{1,2}(?:\.\d{3}\.\d{3}|\d{6})\b",
        score=0.2,
        words=_DNI,
        evidence="length",
        source="Argentina, Registro Nacional de las Personas, DNI",
    ),
    Recogniser(
        "AR_CUIT",
        r"\b\d{2}-\d{8}-\d\b",
        check=_cuit,
        score=0.7,
        words=_CUIT,
        evidence="kind, groups, " + _MOD_11,
        source=_AFIP,
    ),
    Recogniser("AR_CUIT", digits=(11,), check=_cuit, score=0.2, words=_CUIT, evidence=_MOD_11, source=_AFIP),
)
