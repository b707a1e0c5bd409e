"""The one error of authentication, with our own codes and texts: a library's text would quote the token."""

from enum import StrEnum


class Refusal(StrEnum):
    """Why nobody is authenticated. The values are wire names: they appear in problem documents and metrics."""

    MISSING_TOKEN = "missing_token"  # noqa: S105 - a reason code
    MALFORMED_TOKEN = "malformed_token"  # noqa: S105
    TOO_LARGE = "too_large"
    UNKNOWN_ISSUER = "unknown_issuer"
    UNKNOWN_KEY = "unknown_key"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    BAD_SIGNATURE = "bad_signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_AUDIENCE = "wrong_audience"
    MISSING_CLAIM = "missing_claim"
    INVALID_CLAIM = "invalid_claim"
    ISSUER_UNREACHABLE = "issuer_unreachable"


class Unauthenticated(Exception):
    """The request carries no identity that can be relied on.

    `detail` is one of our own sentences and never holds a value out of the token.
    """

    def __init__(self, code: Refusal, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail

    @property
    def status(self) -> int:
        """The HTTP status for the caller: 503 where the issuer's keys cannot be had (worth a retry), else 401."""
        return 503 if self.code is Refusal.ISSUER_UNREACHABLE else 401

    @property
    def challenge(self) -> str:
        """The `WWW-Authenticate` header (RFC 6750 section 3): no error code where no token was sent at all."""
        if self.code is Refusal.MISSING_TOKEN:
            return "Bearer"
        return 'Bearer error="invalid_token"'
