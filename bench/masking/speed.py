"""How long masking takes: ordinary documents, hostile ones, and what this machine does with anything at the moment."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from callgate.jsontext import dump, parse
from cli.mask_bench import documents, masked
from cli.timing import Times, processor_time
from services.masking.composition import Tools
from services.masking.domain import mask

SIZES: Final = ("1 KB", "10 KB", "100 KB", "1 MB")
_HOSTILE_SIZE: Final = 100_000
_PIECES: Final = (
    *("a", "1", "1 ", "12345 ", "4111-", "4111 1111 1111 1111 ", "1.", "1/", "+1", "+49 1", "(415) 555-", "(", "0x"),
    *("@", "a@", "@a", "a.a@a.", "jane@example.com ", "DE89 ", "DE89370400440532013000 ", "GB", "::", "1:", "a:b:"),
    *("eyJ", "eyJhbGciOiJI.", "sk-", "Bearer ", "password=", "secret: x", "-----BEGIN RSA PRIVATE KEY-----", "AKIA"),
    *("http://", "https://a:b@", "//", "%41", "%25", "&#65;", "\\u0041", "=41", "QUFB", "QUFB\n", "deadbeef", "[{"),
    *("[A]1234567 ", "[PHONE_NUMBER] ", "phone ", "ssn 536228726 ", "\uff12", "\u200b", "é", "我", "😀", "\u202e", '"'),
    *("1990-01-01 ", "12 Main St, ", "bc1q", "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf ", "call 1234567 ", "tok_card_bcdf"),
)


class Reference(NamedTuple):
    """What the machine does now: JSON text to values and back, of 100 KB, by the standard library; and additions."""

    json_ms: float
    additions: float
    """Millions a second."""


def reference() -> Reference:
    text = documents("100 KB")["100 KB, nothing to find"]
    spent = processor_time(lambda: json.dumps(json.loads(text))).best
    return Reference(spent * 1e3, _additions())


def _additions(count: int = 3_000_000) -> float:
    started = time.process_time()
    total = 0
    for number in range(count):
        total += number
    return count / (time.process_time() - started) / 1e6


class Measured(NamedTuple):
    document: str
    size: int
    findings: int
    times: Times


def ordinary_speed(tools: Tools) -> Iterator[Measured]:
    """From JSON text to masked JSON text."""
    for name, text in documents(*SIZES).items():
        found = len(masked(text, tools).findings)
        rounds = 5 if len(text) > 500_000 else 7
        times = processor_time(lambda text=text: dump(masked(text, tools).view), rounds=rounds)  # type: ignore[misc]
        yield Measured(name, len(text), found, times)


class Hostile(NamedTuple):
    """Nanoseconds a character, and how much more a character costs in eight times as much of the same."""

    name: str
    cost: float
    growth: float


def hostile_speed(tools: Tools, size: int = _HOSTILE_SIZE, seconds: float = 0.02) -> list[Hostile]:
    """Repeated pieces as one long text, and structures repeated, the dearest first."""
    measured: list[Hostile] = []
    for name, make in hostile():
        small, large = make(size // 8), make(size)
        length = _length(large)
        low, high = _cost(small, tools, seconds) / _length(small), _cost(large, tools, seconds) / length
        measured.append(Hostile(name, high * 1e9, high / low))
    return sorted(measured, key=lambda one: -one.cost)


def hostile() -> Iterator[tuple[str, Callable[[int], Any]]]:
    """Names of hostile documents, and what makes one of about so many characters."""
    for piece in _PIECES:
        yield repr(piece), partial(_repeated, piece)
    for name, item in _STRUCTURES.items():
        yield name, partial(_items, item)
    yield "an object of many keys", _keys
    yield "one key, nested", partial(_items, _nested(60))


def _repeated(piece: str, size: int) -> str:
    return piece * (size // len(piece))


def _items(item: Any, size: int) -> list[Any]:
    return [item] * (size // (len(json.dumps(item)) + 2))


def _keys(size: int) -> dict[str, str]:
    return {f"key {number} a@b.example": "x" for number in range(size // 30)}


_STRUCTURES: Final[dict[str, Any]] = {
    "items: a digit as text": "1",
    "items: a number": 4111,
    "items: a card": "4111 1111 1111 1111",
    "items: an address": "jane@example.com",
    "items: members that tell": {"ssn": "536228726", "name": "Jane Roe"},
    "items: JSON in a text": '{"a": "{\\"b\\": \\"4111 1111 1111 1111\\"}"}',
    "items: base64 of a card": "NDExMSAxMTExIDExMTEgMTExMQ==",
}


def _nested(depth: int) -> Any:
    value: Any = "4111"
    for _ in range(depth):
        value = {"a": value}
    return value


def _length(document: Any) -> int:
    return len(document) if isinstance(document, str) else len(json.dumps(document))


def _cost(document: Any, tools: Tools, seconds: float) -> float:
    value = parse(json.dumps(document).encode(), numbers="lossless")
    disguise = tools.disguise(None)
    return processor_time(lambda: mask(value, machine=tools.machine, disguise=disguise), rounds=3, seconds=seconds).best
