"""`callgate mask bench`: how long masking takes here, in processor time, from JSON text to JSON text."""

import json
from collections.abc import Iterator
from typing import Any, Final

from callgate.jsontext import dump, parse
from cli.timing import processor_time
from services.masking.composition import Tools
from services.masking.domain import Masked, mask

_ITEMS: Final = [
    {"sku": f"MUG-{number:03d}", "name": "Mug, stoneware, 30 cl", "quantity": number % 3 + 1, "price": 11.9 + number}
    for number in range(7)
]
_PLAIN: Final[dict[str, Any]] = {
    "order": "ord-20417",
    "status": "packed",
    "placed": "2026-03-14T09:26:53Z",
    "trace": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "currency": "EUR",
    "total": 152.4,
    "warehouse": {"code": "HH-2", "lat": 53.5511, "lon": 9.9937, "shelves": [12, 44, 107, 350]},
    "lines": _ITEMS,
    "note": "Leave the parcel with the neighbour on the second floor, please.",
}
_FIVE: Final[dict[str, Any]] = {
    **_PLAIN,
    "lines": _ITEMS[:5],
    "customer": {
        "email": "jane.roe@example.com",
        "phone": "+1 415 555 2671",
        "ssn": "536-22-8417",
        "card_number": "4111 1111 1111 1111",
        "iban": "DE89 3704 0044 0532 0130 00",
    },
}
_SIZES: Final = {"1 KB": 1, "10 KB": 10, "100 KB": 103, "1 MB": 1055}
"""And how many orders that is."""


def documents(*sizes: str) -> dict[str, bytes]:
    """What is measured: orders as JSON, of each size (`1 KB`, `10 KB`, `100 KB`, `1 MB`) one with nothing to find and
    one with five items."""
    measured: dict[str, bytes] = {}
    for size in sizes or ("1 KB", "100 KB"):
        rows = [{**_PLAIN, "order": f"ord-{20418 + number}"} for number in range(_SIZES[size])]
        for name, first in (("nothing to find", rows[0]), ("five items", _FIVE)):
            document = first if len(rows) == 1 else [first, *rows[1:]]
            measured[f"{size}, {name}"] = json.dumps(document).encode()
    return measured


def masked(text: bytes, tools: Tools) -> Masked:
    return mask(parse(text, numbers="lossless"), machine=tools.machine, disguise=tools.disguise(None))


def measured(tools: Tools) -> Iterator[str]:
    """A line a document: bytes, findings, processor time of the quickest round, and of the middle one."""
    yield "JSON text in, masked JSON text out; processor time a document"
    for name, text in documents().items():
        found = len(masked(text, tools).findings)
        times = processor_time(lambda text=text: dump(masked(text, tools).view))  # type: ignore[misc]
        yield (
            f"{name:<24} {len(text):>7} bytes  {found:>2} findings  "
            f"best {times.best * 1e3:8.3f} ms  median {times.median * 1e3:8.3f} ms"
        )
