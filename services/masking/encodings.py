"""What stands for other text, one encoding at a time, and which of its characters stand for which: spelled-out
characters (URL encoding, HTML entities, backslash escapes, quoted-printable, tag characters), base64 and hex, and JSON.

Lenient where decoders differ: this is for looking at what somebody could read out of a text. Pure and linear.
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from decimal import Decimal
from html.entities import html5
from typing import Final, Literal, NamedTuple

import re2

from services.masking.folding import OffsetMap

_Spelling = list[tuple[str, int]]
"""Decoded characters, each with how many characters spell it."""

_ESCAPES: Final = (
    r"u[dD][89abAB][0-9a-fA-F]{2}\\++u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]{1,6}\}|x[0-9a-fA-F]{2}|U[0-9a-fA-F]{8}"
)
_SPELLED: Final = re.compile(  # each alternative starts with a literal: so it is searched for fast
    rf"%[0-9a-fA-F]{{2}}(?:%[0-9a-fA-F]{{2}})*+|%u[0-9a-fA-F]{{4}}"
    rf"|&(?:#(?:[0-9]{{1,7}}|[xX][0-9a-fA-F]{{1,6}});?|[A-Za-z][A-Za-z0-9]{{1,31}};)|\\(?:{_ESCAPES}|[nrt])"
)
_QUOTED: Final = re.compile(rf"{_SPELLED.pattern}|=[0-9A-F]{{2}}(?:=[0-9A-F]{{2}})*+|=\r?\n")
_IS_QUOTED: Final = re.compile(r"=(?:\r?\n[^\n]|3D|2E|[0-9A-F]{2}=[0-9A-F]{2}=[0-9A-F]{2}|40[A-Za-z])")
_TAG: Final = re.compile("[\U000e0020-\U000e007e]")
_TAGGED: Final = re.compile(f"{_QUOTED.pattern}|{_TAG.pattern}")
_IS_QUERY: Final = re.compile(r"%[0-9a-fA-F]{2}|=[^+=&]{0,64}\+")
_PLUS: Final = re.compile(r"(?<=[0-9A-Za-z])\+(?=[0-9A-Za-z])")
_PLUS_BUT_IN_ADDRESSES: Final = re.compile(r"(?<=[0-9A-Z])\+(?=[0-9A-Z])")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")


def spelled_out(text: str) -> tuple[str, OffsetMap] | None:
    """The text with every spelled-out character as it reads, in whatever mixture of spellings, and the way back;
    None where there is none. Spellings of spellings take one turn each."""
    if "%" not in text and "&" not in text and "\\" not in text and "=" not in text and text.isascii():
        return None
    pattern = _QUOTED if "=" in text and _IS_QUOTED.search(text) else _SPELLED
    made = _rewritten(text, pattern if text.isascii() or not _TAG.search(text) else _TAGGED)
    if "+" in text and _IS_QUERY.search(text):
        plain = text if made is None else made[0]
        blanks = (_PLUS_BUT_IN_ADDRESSES if "@" in plain else _PLUS).sub(" ", plain)
        if blanks != plain:
            return blanks, OffsetMap() if made is None else made[1]
    return made


def _rewritten(text: str, pattern: re.Pattern[str]) -> tuple[str, OffsetMap] | None:
    parts: list[str] = []
    offsets = OffsetMap()
    position = length = 0
    for match in pattern.finditer(text):
        start = match.start()
        while start > position and text[start] == text[start - 1] == "\\":  # escaped more than once
            start -= 1
        parts.append(text[position:start])
        length += start - position
        extra = match.start() - start
        for read, size in _read(match[0]):
            offsets.add(length, length + len(read), start, start + extra + size)
            parts.append(read)
            length += len(read)
            start, extra = start + extra + size, 0
        position = match.end()
    if not position:
        return None
    parts.append(text[position:])
    made = "".join(parts)
    return None if made == text else (made, offsets)  # `&unknown;`


def _read(written: str) -> _Spelling:
    first = written[0]
    if first in "%=":
        if written[1] in "\r\n":
            return [("", len(written))]
        if written[1] == "u":
            return [(_character(int(written[2:], 16)), 6)]
        return _octets(bytes.fromhex(written.replace(first, "")))
    if first == "&":
        if written[1] != "#":
            return [(html5.get(written[1:], written), len(written))]
        digits = written[2:].rstrip(";")
        return [(_character(int(digits[1:], 16) if digits[0] in "xX" else int(digits)), len(written))]
    if first == "\\":
        return [(_escaped(written), len(written))]
    return [(chr(ord(first) - 0xE0000), 1)]


def _escaped(written: str) -> str:
    if len(written) == 2:
        return _SHORT_ESCAPES[written[1]]
    units = [int(unit.strip("{}"), 16) for unit in re.split(r"\\+[uUx]", written)[1:]]
    if len(units) == 2:
        return chr(0x10000 + ((units[0] - 0xD800) << 10) + units[1] - 0xDC00)
    return _character(units[0])


def _character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else "\ufffd"


def _octets(octets: bytes) -> _Spelling:
    """Three characters spell an octet; what is no UTF-8 is read as Latin-1."""
    try:
        return [(character, 3 * len(character.encode())) for character in octets.decode()]
    except UnicodeDecodeError:
        return [(character, 3) for character in octets.decode("latin-1")]


class Run(NamedTuple):
    """A half-open span of code points and the text that it encodes as a whole."""

    start: int
    end: int
    text: str
    encoding: Literal["base64", "hex"]


SHORTEST_RUN: Final = 16
_B64: Final = "[A-Za-z0-9+/_-]"
_OCTETS: Final = "[0-9a-fA-F]{2}(?:[ :][0-9a-fA-F]{2}){7,}"
RUN: Final = f"{_B64}{{14}}|[0-9a-fA-F]{{2}}(?:[ :][0-9a-fA-F]{{2}}){{7}}"
"""RE2: what every run that `runs` finds contains."""
_CANDIDATE: Final = re.compile(f"{_OCTETS}|{_B64}{{14,}}")
_CANDIDATE_IN_LONG_TEXT: Final = re2.compile(_CANDIDATE.pattern)
_LONG: Final = 128
_RUN: Final = re.compile(
    r"(?P<jwt>eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+)"
    rf"|(?P<hex>(?:{_OCTETS}|(?:[0-9a-fA-F]{{2}}){{8,}}+)(?![0-9A-Za-z]))"
    rf"|(?P<lines>{_B64}{{60,80}}+(?=\r?\n{_B64})(?:\r?\n{_B64}{{60,80}}+(?!{_B64}))*+(?:\r?\n{_B64}{{2,80}}+(?!{_B64}))?+={{0,2}})"
    rf"|(?P<base64>{_B64}{{14,}}+={{0,2}})"
)
_HEX: Final = re.compile(f"{_OCTETS}|(?:[0-9a-fA-F]{{2}}){{8,}}")
_OCTET_RUN: Final = re.compile("[0-9a-f]{16}|[ :]")
_PIECE: Final = re.compile(r"[A-Za-z0-9+]{14,}+={0,2}")
_UPPER: Final = re.compile("[A-Z]")
_OTHER: Final = re.compile("[a-z0-9]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HEAD: Final = 96


def runs(text: str) -> Iterator[Run]:
    """What decodes to printable text: base64 (either alphabet, padded or not, in one line or many), hex octets. Not
    hashes, UUIDs, keys or pictures, which do not; nor JWTs, which another detector knows."""
    position = 0
    for start, end in _candidates(text):
        if start < position or not (_UPPER.search(text, start, end) or _OCTET_RUN.search(text, start, end)):
            continue
        match = _RUN.match(text, start)
        if match is None:
            continue
        position = match.end()
        if match.lastgroup == "jwt":
            continue
        if run := _decoded(text, *match.span()):
            yield run
            continue
        for piece in _PIECE.finditer(text, *match.span()):  # `/users/am9obkBleGFtcGxlLmNvbQ`, `id_am9o…`
            if piece.span() != match.span() and (run := _decoded(text, *piece.span())):
                yield run


def _decoded(text: str, start: int, end: int) -> Run | None:
    written = text[start:end]
    if _HEX.fullmatch(written):
        decoded = _printable(bytes.fromhex(written.replace(":", " ")))
        if decoded is not None:
            return Run(start, end, decoded, "hex")
    decoded = _from_base64(written) if len(written) >= SHORTEST_RUN else None
    return None if decoded is None else Run(start, end, decoded, "base64")


def _candidates(text: str) -> Iterator[tuple[int, int]]:
    if len(text) < _LONG:
        for match in _CANDIDATE.finditer(text):
            yield match.span()
        return
    if not text.isascii():
        text = _SURROGATE.sub("?", text)  # which RE2 does not take
    for found in _CANDIDATE_IN_LONG_TEXT.finditer(text):
        yield found.start(), found.end()


def _from_base64(run: str) -> str | None:
    body = re.sub(r"[\r\n=]+", "", run)
    if len(body) % 4 == 1 or not _UPPER.search(body) or not _OTHER.search(body):
        return None
    if len(body) > _HEAD and _printable(_b64(body[:_HEAD]), whole=False) is None:
        return None
    return _printable(_b64(body))


def _b64(body: str) -> bytes:
    return b64decode(body.translate(_STANDARD) + "=" * (-len(body) % 4))


_STANDARD: Final = str.maketrans("-_", "+/")


def _printable(octets: bytes, *, whole: bool = True) -> str | None:
    try:
        text = octets.decode()
    except UnicodeDecodeError as error:
        if whole or error.start < len(octets) - 3:
            return None
        text = octets[: error.start].decode()
    return None if _CONTROL.search(text) else text


class Value(NamedTuple):
    """A key, string or number of a JSON text: the half-open span of what is between the quotes, or of the number."""

    kind: Literal["key", "string", "number"]
    start: int
    end: int
    path: tuple[str | int, ...]
    text: str
    offsets: OffsetMap | None


_DEEPEST: Final = 64
_MOST_VALUES: Final = 100_000
_IS_JSON: Final = re.compile(r'[ \t\r\n]*+(?:\{[ \t\r\n]*+["}]|\[[ \t\r\n]*+["\[\]{0-9tfn-]|"[^"\\]*+\\)')
_TOKEN: Final = re.compile(
    r'[ \t\r\n]*+(?:"(?P<string>[^"\\]*+(?:\\.[^"\\]*+)*+)"'
    r"|(?P<number>-?[0-9]++(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)|(?P<word>true|false|null)|(?P<mark>[\[\]{},:]))",
    re.DOTALL,
)
_IN_STRING: Final = re.compile(rf"\\(?:{_ESCAPES}|.)", re.DOTALL)
_SHORT_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def json_values(text: str) -> list[Value] | None:
    """Every key, string and number of a text that is a JSON object, array or string, or several one after another, with
    keys and indexes that lead to it (to a key: to its object); None where the text is anything else, or too deep or
    large to be worth it (its text still is what it is)."""
    if not _IS_JSON.match(text) or text.rstrip()[-1:] not in ("}", "]", '"'):
        return None
    values: list[Value] = []
    path: list[str | int] = []
    expected = "value"
    position, end = 0, len(text.rstrip(" \t\r\n"))
    while position < end:
        token = _TOKEN.match(text, position, end)
        if token is None or len(values) > _MOST_VALUES:
            return None
        position = token.end()
        kind, mark = token.lastgroup, token["mark"]
        if expected == "colon":
            if mark != ":":
                return None
            expected = "value"
        elif kind == "string" and expected in ("key", "first key"):
            start, stop = token.span("string")
            key, offsets = _unescaped(text, start, stop)
            values.append(Value("key", start, stop, tuple(path[:-1]), key, offsets))
            path[-1] = key
            expected = "colon"
        elif (
            kind in ("string", "number", "word") and expected in ("value", "first value") and (path or kind == "string")
        ):
            start, stop = token.span(kind)
            if kind == "string":
                values.append(Value("string", start, stop, tuple(path), *_unescaped(text, start, stop)))
            elif kind == "number":
                values.append(Value("number", start, stop, tuple(path), _decimal(token["number"]), None))
            expected = "next" if path else "value"
        elif mark in ("{", "[") and expected in ("value", "first value"):
            if len(path) >= _DEEPEST:
                return None
            path.append("" if mark == "{" else 0)
            expected = "first key" if mark == "{" else "first value"
        elif mark == "," and expected == "next" and path:
            step = path[-1]
            if isinstance(step, int):
                path[-1] = step + 1
            expected = "value" if isinstance(step, int) else "key"
        elif path and (
            (mark == "}" and isinstance(path[-1], str) and expected in ("next", "first key"))
            or (mark == "]" and isinstance(path[-1], int) and expected in ("next", "first value"))
        ):
            path.pop()
            expected = "next" if path else "value"
        else:
            return None
    return None if path else values


def _unescaped(text: str, start: int, end: int) -> tuple[str, OffsetMap | None]:
    written = text[start:end]
    if "\\" not in written:
        return written, None
    parts: list[str] = []
    offsets = OffsetMap()
    position = length = 0
    for match in _IN_STRING.finditer(written):
        parts.append(written[position : match.start()])
        length += match.start() - position
        escape = match[0]
        read = _escaped(escape) if len(escape) > 2 else _SHORT_ESCAPES.get(escape[1], escape[1])
        offsets.add(length, length + 1, *match.span())
        parts.append(read)
        length += 1
        position = match.end()
    parts.append(written[position:])
    return "".join(parts), offsets


_NOT_WHOLE: Final = re.compile("[eE.]")


def _decimal(number: str) -> str:
    """In digits, as `domain.decimal_text` has numbers: `4.111111111111111e15` hides no card."""
    if len(number) > 60 or number.isdecimal() or not _NOT_WHOLE.search(number):
        return number
    exact = Decimal(number)
    if abs(exact.adjusted()) > 40:
        return number
    digits = format(exact, "f")
    whole, _, fraction = digits.partition(".")
    return digits if fraction.strip("0") else whole
