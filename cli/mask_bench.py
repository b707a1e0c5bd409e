"""`callgate mask bench`: how long masking takes here, in processor time, from JSON text to JSON text."""

import json
import statistics
import time
from collections.abc import Iterator
from typing import Any, Final

from callgate.jsontext import dump, parse
from services.masking.composition import Tools
from services.masking.domain import Masked, mask

_ROUNDS: Final = 7
_SECONDS: Final = 0.25
"""A round lasts at least this long."""

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
    "lines": _ITEMS[:4],
    "customer": {
        "email": "jane.roe@example.com",
        "phone": "+1 415 555 2671",
        "ssn": "536-22-8417",
        "card_number": "4111 1111 1111 1111",
        "iban": "DE89 3704 0044 0532 0130 00",
    },
}


def documents() -> dict[str, bytes]:
    """What is measured: about 1 KB with five items and without any, and 100 KB with five."""
    rows = [{**_PLAIN, "order": f"ord-{20418 + number}"} for number in range(93)]
    return {
        "1 KB, nothing to find": json.dumps(_PLAIN).encode(),
        "1 KB, five items": json.dumps(_FIVE).encode(),
        "100 KB, nothing to find": json.dumps(rows).encode(),
        "100 KB, five items": json.dumps([_FIVE, *rows]).encode(),
    }


def measured(tools: Tools) -> Iterator[str]:
    """A line a document: bytes, findings, processor time of the quickest round, and of the middle one."""
    yield "JSON text in, masked JSON text out; processor time a document"
    for name, text in documents().items():
        times = sorted(_round(text, tools) for _ in range(_ROUNDS))
        found = len(_masked(text, tools).findings)
        yield (
            f"{name:<24} {len(text):>7} bytes  {found:>2} findings  "
            f"best {times[0] * 1e3:8.3f} ms  median {statistics.median(times) * 1e3:8.3f} ms"
        )


def _masked(text: bytes, tools: Tools) -> Masked:
    return mask(parse(text, numbers="lossless"), machine=tools.machine, disguise=tools.disguise(None))


def _round(text: bytes, tools: Tools) -> float:
    count, start = 0, time.process_time()
    while (spent := time.process_time() - start) < _SECONDS:
        for _ in range(max(1, 20_000 // len(text))):
            dump(_masked(text, tools).view)
            count += 1
    return spent / count
