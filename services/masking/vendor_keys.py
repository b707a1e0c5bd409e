"""Credentials that tell what they are: vendors' prefixes, JSON Web Tokens, PEM keys, Authorization headers.

A literal that each must hold is looked for first; it decides for nearly every text that nothing more is to be done.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

SHORTEST: Final = 16


class _Shape(NamedTuple):
    literal: str
    pattern: re.Pattern[str]
    """Group 1 is the credential where there is one, the whole match otherwise."""
    holds: Callable[[str], bool]


def _any(_: str) -> bool:
    return True


def _mixed(token: str) -> bool:
    """Has digits and letters, so is no chain of words such as `sk-learn-based-classification`."""
    return any(map(str.isdigit, token)) and any(map(str.isalpha, token))


def _shape(literal: str, pattern: str, holds: Callable[[str], bool] = _any) -> _Shape:
    return _Shape(literal, re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})"), holds)


_SHAPES: Final = (
    *(_shape(prefix, prefix + r"[A-Z0-9]{16}(?![A-Za-z0-9])") for prefix in ("AKIA", "ASIA")),  # AWS
    _shape("AIza", r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),  # Google
    _shape("ya29.", r"ya29\.[A-Za-z0-9_-]{20,}"),
    _shape("GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{20,}"),
    _shape("gh", r"gh[pousr]_[A-Za-z0-9]{36,255}(?![A-Za-z0-9])"),  # GitHub
    _shape("github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    _shape("glpat-", r"glpat-[A-Za-z0-9_-]{20,}"),  # GitLab
    _shape("_live_", r"(?:sk|rk)_live_[A-Za-z0-9]{10,}"),  # Stripe
    _shape("_test_", r"(?:sk|rk)_test_[A-Za-z0-9]{10,}"),
    _shape("whsec_", r"whsec_[A-Za-z0-9+/=]{16,}"),
    _shape("xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,}", _mixed),  # Slack
    _shape("xapp-", r"xapp-[A-Za-z0-9-]{20,}", _mixed),
    _shape("hooks.slack.com/", r"hooks\.slack\.com/services/([A-Za-z0-9/]{20,})"),
    _shape("sk-", r"sk-[A-Za-z0-9_-]{20,}", _mixed),  # OpenAI, Anthropic (sk-ant-)
    _shape("hf_", r"hf_[A-Za-z0-9]{30,}"),  # Hugging Face
    _shape("npm_", r"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _shape("pypi-", r"pypi-AgE[A-Za-z0-9_-]{50,}"),
    _shape("SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])"),  # SendGrid
    _shape("dop_v1_", r"dop_v1_[0-9a-f]{64}(?![A-Za-z0-9])"),  # DigitalOcean
    _shape("shp", r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}(?![A-Za-z0-9])"),  # Shopify
    _shape("AccountKey=", r"AccountKey=([A-Za-z0-9+/]{40,}={0,2})"),  # Azure Storage
    # A JSON Web Token in compact form (RFC 7519): `eyJ` is base64url for `{"`.
    _shape("eyJ", r"(?<![_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*"),
    _shape("earer ", r"[Bb]earer +([A-Za-z0-9._~+/-]{16,}={0,2})", _mixed),  # RFC 6750
    _shape("asic ", r"[Bb]asic +([A-Za-z0-9+/]{12,}={1,2})(?![A-Za-z0-9+/=])"),  # RFC 7617
)
_LITERALS: Final = ("PRIVATE KEY", *(shape.literal for shape in _SHAPES))
_PEM_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,48}-----")


def plausible(text: str) -> bool:
    """Whether it holds the literal of any of them."""
    return any(map(text.__contains__, _LITERALS))


def find(text: str) -> Iterator[tuple[int, int]]:
    """The spans of credentials in the text; they may overlap."""
    for literal, pattern, holds in _SHAPES:
        if literal in text:
            for match in pattern.finditer(text):
                group = 1 if pattern.groups else 0
                if holds(match[group]):
                    yield match.span(group)
    if "PRIVATE KEY" in text:
        yield from _pem(text)


def _pem(text: str) -> Iterator[tuple[int, int]]:
    """From BEGIN to END (RFC 7468), or to the end of the text: a key that was cut off is still most of a key."""
    position = 0
    while begin := _PEM_BEGIN.search(text, position):
        end = _PEM_END.search(text, begin.end())
        position = end.end() if end else len(text)
        yield begin.start(), position
