"""Signed-in browsers: the token itself in an HttpOnly cookie, verified at every request, so any replica knows it.

A form carries a code that only who holds the cookie's value can compute, and it must come from our own origin.
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request, Response

from callgate.http import Problem
from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Refusal, Unauthenticated
from contracts.identity import Principal
from services.approval.routes import read_body

COOKIE_LIMIT = 3800
"""Characters of a token that every browser keeps in a cookie (RFC 6265, section 6.1: 4,096 bytes with its name)."""
_FORM_LIMIT = 32 * 1024
_FIELDS = 8


class Sessions:
    """`secure` is off only for plain HTTP on loopback; `public_url` names us where a proxy changes the Host."""

    def __init__(self, authenticator: Authenticator, secure: bool, public_url: str | None) -> None:
        self._authenticator = authenticator
        self._secure = secure
        # The prefix makes browsers refuse such a cookie from another host, or without Secure.
        self._cookie = "__Host-callgate" if secure else "callgate"
        self._origin = _origin(public_url) if public_url else None

    async def person(self, request: Request) -> tuple[Principal, str]:
        """Who is signed in, and their session. Unauthenticated."""
        session = request.cookies.get(self._cookie)
        if not session:
            raise Unauthenticated(Refusal.MISSING_TOKEN, "sign in first")
        return await self._authenticator.authenticate(f"Bearer {session}"), session

    async def sign_in(self, token: str, response: Response) -> None:
        """Puts a good token into the response's cookie. Unauthenticated, Problem."""
        if len(token) > COOKIE_LIMIT:
            raise Problem(422, "token_too_long", f"The token is longer than the {COOKIE_LIMIT} characters of a cookie.")
        await self._authenticator.authenticate(f"Bearer {token}")
        response.set_cookie(
            self._cookie, token, path="/", secure=self._secure, httponly=True, samesite="strict", max_age=None
        )

    def sign_out(self, response: Response) -> None:
        response.delete_cookie(self._cookie, path="/", secure=self._secure, httponly=True, samesite="strict")

    async def form(self, request: Request) -> Mapping[str, str]:
        """The fields of a form that one of our own pages sent. Problem."""
        self._check_origin(request)
        body = await read_body(request, _FORM_LIMIT)
        try:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(body),
                errors="strict",
                max_num_fields=_FIELDS,
            )
        except ValueError:
            raise Problem(400, "invalid_form", "The form cannot be read.") from None
        if len(dict(pairs)) != len(pairs):
            raise Problem(400, "invalid_form", "A field of the form stands there twice.")
        return dict(pairs)

    def _check_origin(self, request: Request) -> None:
        """Also against signing somebody in as another, which no code in a form prevents."""
        origin = request.headers.get("origin", "")
        own = _origin(f"//{request.headers.get('host', '')}")
        from_here = bool(own[1]) and _origin(origin)[1] == own[1]
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin" or not (
            from_here or (self._origin is not None and _origin(origin) == self._origin)
        ):
            raise Problem(403, "foreign_form", "The form came from another site. Open the page here and try again.")


def form_code(session: str, form: str) -> str:
    """Proves that the form named `form` was shown to this session: its key is the session, which no page can read."""
    return hmac.new(session.encode(), b"callgate form\0" + form.encode(), hashlib.sha256).hexdigest()


def check_form_code(session: str, form: str, code: str | None) -> None:
    """Problem unless the code is that of this session and form."""
    if code is None or not hmac.compare_digest(form_code(session, form).encode(), code.encode()):
        raise Problem(403, "stale_form", "The form is not of this sign-in. Open the page again.")


def _origin(url: str) -> tuple[str, str]:
    """Scheme and authority; ("", "") for what is no URL."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), parts.netloc.lower()
    except ValueError:
        return "", ""
