"""Signed-in browsers: a sealed cookie says who somebody is and until when, so any replica knows it.

The cookie is SameSite=Lax, not Strict: a link in Slack opens the call for who is signed in. What changes anything is a
POST, which brings no such cookie from another site; it must come from our own origin besides, and carry a code that
only who holds the session can compute.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

from fastapi import Request, Response
from pydantic import ValidationError

from callgate.http import Problem
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.ids import token
from contracts.identity import Principal
from services.approval.cookies import CookieExpired, Cookies, CookieTooLong, Kind
from services.approval.routes import read_body

SESSION = Kind("callgate")
FORM_LIMIT = 32 * 1024
FIELDS = 8


class Sessions:
    """`issuers` are those configured now; `public_url` names us where a proxy changes the Host; `ended` says of whom a
    person revoked the identity."""

    def __init__(
        self,
        cookies: Cookies,
        issuers: frozenset[str],
        lasts: timedelta,
        clock: Callable[[], datetime],
        public_url: str | None,
        ended: Callable[[Principal], bool] = lambda _: False,
    ) -> None:
        self._cookies = cookies
        self._issuers = issuers
        self._lasts = lasts
        self._clock = clock
        self._origin = _origin(public_url) if public_url else None
        self._ended = ended

    def person(self, request: Request) -> tuple[Principal, str]:
        """Who is signed in, and their session's id, which no page shows. Unauthenticated."""
        try:
            value = self._cookies.get(request, SESSION)
        except CookieExpired:
            raise Unauthenticated(Refusal.EXPIRED, "the session is over; sign in again") from None
        try:
            session, principal = (value or {})["id"], Principal.model_validate((value or {})["principal"])
        except (KeyError, ValidationError):
            session, principal = "", None
        if principal is None or principal.issuer not in self._issuers:
            raise Unauthenticated(Refusal.MISSING_TOKEN, "sign in first")
        if self._ended(principal):
            raise Unauthenticated(Refusal.REVOKED, "your identity was revoked here; sign in again")
        return principal, session

    def begin(self, response: Response, principal: Principal, until: datetime | None = None) -> None:
        """A new session for whoever gets the response: as long as a session lasts, or shorter. Problem."""
        end = self._clock() + self._lasts
        value = {"id": token(16), "principal": principal.model_dump(mode="json")}
        try:
            self._cookies.put(response, SESSION, value, min(end, until) if until else end)
        except CookieTooLong:
            raise Problem(
                422,
                "too_many_groups",
                f"Your {len(principal.groups)} groups do not fit into a cookie. Whoever runs the identity provider can "
                "have it name only the groups that are assigned to this application.",
            ) from None

    def end(self, response: Response) -> None:
        self._cookies.drop(response, SESSION)

    async def form(self, request: Request, fields: int = FIELDS, limit: int = FORM_LIMIT) -> Mapping[str, str]:
        """The fields of a form that one of our own pages sent: so many at most, in so many bytes. Problem."""
        self._check_origin(request)
        body = await read_body(request, limit)
        try:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(body),
                errors="strict",
                max_num_fields=fields,
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
