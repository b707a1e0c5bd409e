"""How people are reached: e-mail addresses, and telephone numbers (see `telephones`)."""

import re
from collections.abc import Iterator
from typing import Final

from services.masking.entities.telephones import TELEPHONES
from services.masking.leaf import Leaf
from services.masking.recogniser import Finder, Hit, Recogniser

EMAIL_ADDRESS: Final = "EMAIL_ADDRESS"

_LOCAL_REVERSED = re.compile(r"[\w.%+'~^$-]+")
_QUOTED_LOCAL = re.compile(r'"[^"\\@\0-\x1f]{1,62}"')
_DOMAIN = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}"
    r"(?:xn--[a-z0-9-]{2,59}|[a-z]{2,63}(?=[\u3040-\u9fff\uac00-\ud7af])|[^\W\d_]{2,63})"
    r"(?![a-z0-9]|(?![\u3040-\u9fff\uac00-\ud7af])[^\W_])",
    re.IGNORECASE,
)
"""Chinese, Japanese and Korean go on right behind a Latin domain."""
_NO_DOMAINS: Final = frozenset(
    re.findall(
        "[a-z]+",
        "png jpg jpeg gif svg webp css js ico json html htm pdf txt xml yml yaml tsx jsx exe "
        "service socket timer mount slice scope target",
    )
)
"""Endings of files and of systemd's units, none of which is a top-level domain."""
_RELEASE = re.compile(r"[0-9]+(?:x\.|\.[0-9])")
"""How what follows an `@` starts in `logo@2x.png` and `package@1.2.3-beta.rc`."""
_REPOSITORY = re.compile(r":[A-Za-z0-9~_./-]+")
_LOCAL_LENGTH: Final = 128
_MESSAGE_KEY = re.compile(r"\b(?:message id|in reply to|references)$")
_MESSAGE_HEADER = re.compile(r"(?:message-id|in-reply-to|references):\s*<?$")


def find_emails(leaf: Leaf) -> Iterator[Hit]:
    """Addresses as RFC 5321 and RFC 6531 write them, in any script. What parts a URL (`=?&/`) ends a local part."""
    text = leaf.text
    at = text.find("@")
    while at >= 0:
        domain = None
        if text[at + 1 : at + 2].isalnum():
            leaf.spend(_LOCAL_LENGTH)
            domain = _DOMAIN.match(text, at + 1, at + 256)
        if domain and domain[0].rpartition(".")[2].lower() not in _NO_DOMAINS and not _RELEASE.match(domain[0]):
            start = _start_of_local(text, at)
            if start < at and not _is_machines(leaf, start, at, domain.end()):
                yield Hit(start, domain.end(), EMAIL_ADDRESS, 0.99, "shape")
        at = text.find("@", at + 1)


def _start_of_local(text: str, at: int) -> int:
    """`at` itself where no local part ends there."""
    if text[at - 1 : at] == '"':
        quote = text.rfind('"', max(0, at - 64), at - 1)
        return quote if quote >= 0 and _QUOTED_LOCAL.fullmatch(text, quote, at) else at
    local = _LOCAL_REVERSED.match(text[max(0, at - _LOCAL_LENGTH) : at][::-1])
    written = local[0][::-1].lstrip(".'%~^$-") if local else ""
    return at if written.endswith(".") else at - len(written)


def _is_machines(leaf: Leaf, start: int, at: int, end: int) -> bool:
    """`git@host:owner/project`, or the identifier of a message (RFC 5322): many digits where it is known to stand."""
    if leaf.text[start:at] in ("git", "hg", "svn"):
        return bool(_REPOSITORY.match(leaf.text, end))
    floor = max(0, at - _LOCAL_LENGTH)
    opening = max(leaf.text.rfind("<", floor, at), leaf.text.rfind(" ", floor, at), floor - 1)
    if sum(map(str.isdecimal, leaf.text[opening + 1 : at])) < 5:
        return False
    return bool(_MESSAGE_KEY.search(leaf.key_words) or _MESSAGE_HEADER.search(leaf.before(opening + 1)))


CONTACT: Final[tuple[Recogniser | Finder, ...]] = (
    Finder((EMAIL_ADDRESS,), "@", find_emails, "shape", "RFC 5321, RFC 6531"),
    *TELEPHONES,
)
