"""Headers that an operator has the executor send with every request of a connection, e.g. the version of an API."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, 5.6.2: token."""
VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
EXECUTORS: Final = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "expect", "host", "idempotency-key"}
    | {"te", "trailer", "traceparent", "transfer-encoding", "upgrade", "user-agent"}
)
"""Headers that are the executor's own, or that HTTP is framed by."""
_CALLS: Final = frozenset(
    {"accept-language", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"}
    | {"content-encoding", "content-range", "keep-alive", "proxy-connection"}
)
"""Those that are the single request's."""
_SECRET: Final = frozenset({"authorization", "cookie", "proxy-authorization"})
_LONGEST: Final = 1024


def _fixed(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        folded = name.lower()
        if not NAME.fullmatch(name) or len(name) > 100:
            raise ValueError("each name must be that of an HTTP header, e.g. Notion-Version")
        if folded in EXECUTORS | _CALLS:
            raise ValueError(f"{name} is set for each request; it cannot stand here")
        if folded in _SECRET:
            raise ValueError(f"{name} holds a secret; name that under `credential:`")
        if not VALUE.fullmatch(value) or len(value) > _LONGEST:
            raise ValueError(f"the value of {name} must be visible ASCII, of {_LONGEST} characters at most")
    if len({name.lower() for name in headers}) != len(headers):
        raise ValueError("names that differ in case alone are one header")
    return headers


FixedHeaders = Annotated[dict[str, str], AfterValidator(_fixed)]
"""By name. No secrets: those are the credential's, which the executor alone reads."""
