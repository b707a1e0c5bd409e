"""The one error of authentication, with our own codes and texts: a library's text would quote the token."""

from enum import StrEnum


class Refusal(StrEnum):
    """Why nobody is authenticated. The values are wire names: they appear in problem documents, logs and metrics."""

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
    WRONG_PARTY = "wrong_party"
    MISSING_CLAIM = "missing_claim"
    INVALID_CLAIM = "invalid_claim"
    CLAIM_REFUSED = "claim_refused"
    REVOKED = "revoked"
    NOT_BOUND = "not_bound"
    PROOF_REQUIRED = "proof_required"
    INVALID_PROOF = "invalid_proof"
    PROOF_REPLAYED = "proof_replayed"
    CERTIFICATE_REQUIRED = "certificate_required"
    CERTIFICATE_MISMATCH = "certificate_mismatch"
    ISSUER_UNREACHABLE = "issuer_unreachable"


_OF_PROOFS = frozenset({Refusal.NOT_BOUND, Refusal.PROOF_REQUIRED, Refusal.INVALID_PROOF, Refusal.PROOF_REPLAYED})
PROOF_ALGORITHMS = ("ES256", "ES384", "ES512", "EdDSA", "PS256", "RS256")
"""With which a DPoP proof may be signed."""


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
        """`WWW-Authenticate` (RFC 6750, section 3; RFC 9449, section 7.1): names no error where no token was sent."""
        if self.code is Refusal.MISSING_TOKEN:
            return "Bearer"
        if self.code in _OF_PROOFS:
            of_proof = self.code in (Refusal.INVALID_PROOF, Refusal.PROOF_REPLAYED)
            error = "invalid_dpop_proof" if of_proof else "invalid_token"
            return f'DPoP error="{error}", algs="{" ".join(PROOF_ALGORITHMS)}"'
        return 'Bearer error="invalid_token"'
