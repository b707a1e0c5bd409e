"""The authorisation code flow of the development issuer: requests judged, and codes that count once."""

import base64
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from callgate.identity.settings import is_loopback, url_problem

CLIENT_ID = "callgate-pages"
"""The one client, a public one: the reviewers' pages."""
_CODE_LASTS = 60.0
_CODES_KEPT = 1000
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_TEXT_LIMIT = 512


class BadRequest(Exception):
    """The request names no client or address of ours, so nobody is sent anywhere."""


class AuthorizationRequest(NamedTuple):
    """What the client asks for, judged."""

    redirect_uri: str
    state: str
    nonce: str
    challenge: str

    @property
    def fields(self) -> dict[str, str]:
        """The request again, for the page's forms."""
        return {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": self.redirect_uri,
            "scope": "openid",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
        }


def may_be_sent_to(url: str, public_url: str | None) -> bool:
    """Whether a browser may be sent there: this machine, or the deployment's own address."""
    if len(url) > _TEXT_LIMIT or url_problem(url, allow_plain_http=True) is not None:
        return False
    parts = urlsplit(url)
    own = urlsplit(public_url or "")
    return is_loopback(parts.hostname or "") or (bool(own.netloc) and parts[:2] == own[:2])


def authorization_request(query: Mapping[str, str], public_url: str | None) -> AuthorizationRequest:
    """OpenID Connect Core 1.0, section 3.1.2.1, as far as our client goes; PKCE is demanded. BadRequest."""
    if query.get("client_id") != CLIENT_ID:
        raise BadRequest(f"the client is not known here; it is {CLIENT_ID}")
    if not may_be_sent_to(query.get("redirect_uri", ""), public_url):
        raise BadRequest("redirect_uri must be on 127.0.0.1, or the deployment's public_url")
    if query.get("response_type") != "code" or "openid" not in query.get("scope", "").split():
        raise BadRequest("response_type must be code, and scope hold openid")
    challenge = query.get("code_challenge", "")
    if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
        raise BadRequest("PKCE is needed: code_challenge, and code_challenge_method S256")
    state, nonce = query.get("state", ""), query.get("nonce", "")
    if not (0 < len(state) <= _TEXT_LIMIT and 0 < len(nonce) <= _TEXT_LIMIT):
        raise BadRequest("state and nonce are needed")
    return AuthorizationRequest(query["redirect_uri"], state, nonce, challenge)


class _Granted(NamedTuple):
    sub: str
    request: AuthorizationRequest
    until: float


class Codes:
    """The codes given out and not redeemed yet, at most a thousand, in memory. `clock` gives Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._granted: OrderedDict[str, _Granted] = OrderedDict()

    def grant(self, sub: str, request: AuthorizationRequest) -> str:
        code = secrets.token_urlsafe(32)
        self._granted[code] = _Granted(sub, request, self._clock() + _CODE_LASTS)
        if len(self._granted) > _CODES_KEPT:
            self._granted.popitem(last=False)
        return code

    def redeem(self, form: Mapping[str, str]) -> tuple[str, str] | None:
        """Subject and nonce, once, for whoever asked (RFC 6749, section 4.1.3; RFC 7636, section 4.6); else None.

        A code is spent by the first try, whatever comes of it.
        """
        granted = self._granted.pop(form.get("code", ""), None)
        verifier = form.get("code_verifier", "")
        if granted is None or self._clock() >= granted.until or not _VERIFIER.fullmatch(verifier):
            return None
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = granted.request
        if (form.get("client_id"), form.get("redirect_uri")) != (CLIENT_ID, asked.redirect_uri):
            return None
        return (granted.sub, asked.nonce) if hmac.compare_digest(digest, asked.challenge) else None
