"""A request as it came to the proxy, as far as it goes on to the function."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Self

_TAG = r'(?:W/)?"[\x21\x23-\x7e]{0,128}"'
_TAGS = re.compile(rf"\*|{_TAG}(?:[ ]?,[ ]?{_TAG}){{0,15}}")
_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")

CONTENT_TYPE: Final = "content-type"
FORWARDED: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "accept": re.compile(r"[A-Za-z0-9!#$&^_.+*/;=,\" -]{1,256}"),
        "accept-language": re.compile(r"[A-Za-z0-9*;=., -]{1,128}"),
        CONTENT_TYPE: re.compile(r"[A-Za-z0-9.+-]{1,64}/[A-Za-z0-9.+-]{1,100}(?: ?; ?charset=\"?utf-8\"?)?", re.I),
        "if-match": _TAGS,
        "if-none-match": _TAGS,
        "if-modified-since": _DATE,
        "if-unmodified-since": _DATE,
    }
)
"""The headers that go on to the function, and what each may hold: too little to be an argument in disguise."""


@dataclass(frozen=True, slots=True)
class Received:
    """Path (below the connection's address) and query are as they came, encoded. It holds raw values."""

    path: str = field(repr=False)
    query: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """Those of FORWARDED that it had, names in lower case."""
    body: bytes = field(repr=False)

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def media_type(self) -> str | None:
        """Without its parameters, in lower case."""
        whole = dict(self.headers).get(CONTENT_TYPE)
        return whole.partition(";")[0].strip().lower() if whole is not None else None

    def encode(self) -> bytes:
        """A line of JSON, and the body behind it as it is."""
        head = {"path": self.path, "query": self.query, "headers": self.headers}
        return json.dumps(head).encode() + b"\n" + self.body

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """ValueError for anything that no door could have taken."""
        head, _, body = data.partition(b"\n")
        document = json.loads(head)
        try:
            headers = tuple((name, value) for name, value in document["headers"])
            received = cls(document["path"], document["query"], headers, body)
            sound = received.target.isascii() and all(FORWARDED[name].fullmatch(value) for name, value in headers)
        except (KeyError, TypeError, AttributeError):
            sound = False
        if not sound or len(dict(headers)) != len(headers):
            raise ValueError("no request that a door took")
        return received
