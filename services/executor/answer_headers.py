"""What of an answer's headers an agent at the proxy gets, once it is masked. Pure.

Addresses in them lead back to the proxy, or away from the function altogether: where the function itself lives is not
told, and what lies there beside the connection's own paths is not reachable.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from services.executor.outcomes import Headers

_SHOWN: Final = frozenset(
    {"cache-control", "content-language", "etag", "last-modified", "link", "location", "retry-after", "x-request-id"}
    | {"age", "allow", "content-range", "deprecation", "sunset", "vary", "x-total-count"}
)
_SHOWN_FAMILIES: Final = ("ratelimit", "x-ratelimit-")
_MOST, _LONGEST, _LARGEST = 32, 2048, 16 * 1024
"""Headers, characters of one, and of all."""
_VALUE = re.compile(r"[\x20-\x7e]+")
_PARAMETER = r';[ \t]*[A-Za-z0-9*_-]{1,40}(?:=(?:"[^"<>\\]*"|[^\s",;<>]*))?[ \t]*'
_LINK = re.compile(rf"[ \t]*<([^<>\s]*)>[ \t]*((?:{_PARAMETER})*)(?:,|$)")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def shown(headers: Iterable[tuple[str, str]]) -> Headers:
    """Those that an agent may see at all, names in lower case; not the many, the long, or what is not plain ASCII."""
    found: list[tuple[str, str]] = []
    size = 0
    for name, value in ((name.lower(), value.strip()) for name, value in headers):
        if name not in _SHOWN and not name.startswith(_SHOWN_FAMILIES):
            continue
        size += len(name) + len(value)
        if len(found) < _MOST and size <= _LARGEST and len(value) <= _LONGEST and _VALUE.fullmatch(value):
            found.append((name, value))
    return tuple(found)


def led_back(headers: Headers, requested: str, base_url: str, connection: str) -> Headers:
    """The headers with every address that names the connection's own as one of the proxy's. `requested` is the URL that
    was asked, against which relative ones count. What cannot be led back is left out."""
    addresses = Addresses(requested, base_url, connection)
    changed: list[tuple[str, str]] = []
    for name, value in headers:
        if name == "location":
            led: str | None = addresses.led_back(value)
        elif name == "link":
            led = addresses.links(value)
        else:
            led = None if addresses.told_in(value) else value
        if led:
            changed.append((name, led))
    return tuple(changed)


class Addresses:
    """Where a connection is, and what it is called at the proxy."""

    def __init__(self, requested: str, base_url: str, connection: str) -> None:
        self._requested = requested
        self._base = urlsplit(base_url)
        self._path = self._base.path.rstrip("/")
        self._prefix = f"/proxy/{connection}"

    def led_back(self, reference: str) -> str | None:
        """A URI reference as the agent may follow it; None where it leads to the function's host, but not to what the
        connection is of it, or cannot be read."""
        try:
            parts = urlsplit(urljoin(self._requested, reference))
            elsewhere = (parts.hostname or "") != self._base.hostname
            same_origin = _origin(parts) == _origin(self._base)
        except ValueError:
            return None
        if elsewhere:
            plain = parts.scheme in _DEFAULT_PORTS and not parts.username and not self.told_in(reference)
            return reference if plain else None
        below = parts.path.removeprefix(self._path)
        if not same_origin or not parts.path.startswith(self._path) or (below and not below.startswith("/")):
            return None
        query = f"?{parts.query}" if parts.query else ""
        led = f"{self._prefix}{below}{query}" + (f"#{parts.fragment}" if parts.fragment else "")
        return None if self.told_in(led) else led

    def links(self, value: str) -> str | None:
        """The value of a Link header (RFC 8288), each link led back or left out; None where it does not parse."""
        links, at = [], 0
        while at < len(value):
            link = _LINK.match(value, at)
            if link is None:
                return None
            led = self.led_back(link[1])
            if led is not None and "anchor" not in link[2].lower() and not self.told_in(link[2]):
                links.append(f"<{led}>{link[2].strip()}")
            at = link.end()
        return ", ".join(links)

    def told_in(self, text: str) -> bool:
        """Whether the text names the function's host; one without a dot may be any word, and counts in an address."""
        host = self._base.hostname or ""
        return (host if "." in host or ":" in host else f"//{host}") in text.lower()


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)
