"""What the operator says about a token issuer."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from callgate.identity.client_settings import SignInSettings

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"},
)
"""Asymmetric signatures only (RFC 7518, RFC 8037): with a shared secret, every verifier could mint tokens."""


def url_problem(url: str, *, allow_plain_http: bool) -> str | None:
    """What is wrong with the URL of an issuer or key set; None for https, or http to this very machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f]", url):
        return "must be an absolute https:// URL"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "must have neither user, password nor fragment"
    if parts.scheme == "http" and not allow_plain_http and not is_loopback(host):
        return "must use https: over plain http, whoever sits on the network chooses the keys"
    return None


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class IssuerSettings(BaseModel):
    """One issuer whose tokens are accepted. Durations are in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    """The exact `iss` claim, a URL."""
    jwks_url: str | None = None
    """Where the key set is; None finds it through `<issuer>/.well-known/openid-configuration`."""
    audience: str = Field(min_length=1)
    """Must be (among) the token's `aud`."""
    algorithms: tuple[str, ...] = Field(default=("RS256", "ES256"), min_length=1)
    groups_claim: str = Field(default="groups", min_length=1)
    """A claim's name, or a dotted path such as `realm_access.roles`. A delegated token (`act`) speaks for the actor,
    so its groups are read from inside `act`: the user's groups are not lent to the agent."""
    subject_prefix: str = Field(default="", max_length=64)
    """Put before each subject. With several issuers each needs its own, or one could name another's people."""
    leeway: float = Field(default=30.0, ge=0, le=300)
    """Clock skew that exp, nbf and iat are forgiven."""
    max_age: float | None = Field(default=86_400.0, gt=0)
    """The oldest token accepted, counted from `iat`, whatever its `exp` says; None leaves it to `exp`."""
    keys_max_age: float = Field(default=600.0, gt=0, le=86_400)
    """How long a fetched key set is used before it is fetched again."""
    keys_stale_for: float = Field(default=3600.0, ge=0, le=604_800)
    """How long beyond that it is still used while the issuer does not answer."""
    keys_refresh_interval: float = Field(default=10.0, gt=0)
    """The least time between two fetches, however many unknown key ids arrive."""
    unsafe_plain_http: bool = False
    """Fetch keys over plain http from another machine. Whoever sits between can then be anybody."""
    sign_in: SignInSettings | None = None
    """How people sign in here with the reviewers' pages; None: they paste a token."""

    @field_validator("algorithms")
    @classmethod
    def _asymmetric(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.lower() == "none" or name.upper().startswith("HS"):
                raise ValueError(
                    f"algorithm {name!r} is refused: it lets others mint tokens; "
                    "use a signature with a public key, e.g. ES256 or RS256"
                )
            if name not in ALGORITHMS:
                raise ValueError(f"unknown algorithm {name!r}; choose from {', '.join(sorted(ALGORITHMS))}")
        return names

    @field_validator("subject_prefix")
    @classmethod
    def _printable(cls, prefix: str) -> str:
        if prefix and not prefix.isprintable():
            raise ValueError("subject_prefix must be printable")
        return prefix

    @model_validator(mode="after")
    def _urls(self) -> Self:
        for name, url in (("issuer", self.issuer), ("jwks_url", self.jwks_url)):
            problem = url_problem(url, allow_plain_http=self.unsafe_plain_http) if url is not None else None
            if problem:
                raise ValueError(f"{name} {problem}")
        return self

    @property
    def discovery_url(self) -> str:
        """OpenID Connect Discovery 1.0, section 4: a trailing slash of the issuer is not doubled."""
        return self.issuer.rstrip("/") + "/.well-known/openid-configuration"


def check_distinct(issuers: Sequence[IssuerSettings]) -> None:
    """ValueError unless no issuer can name a subject of another.

    Prefixes must be prefix-free, not just different: with `a` and `ab`, the subjects `b1` and `1` would meet in `ab1`.
    """
    if not issuers:
        raise ValueError("no issuer is configured, so nobody could ever be authenticated; name at least one")
    for index, one in enumerate(issuers):
        for other in issuers[index + 1 :]:
            if one.issuer == other.issuer:
                raise ValueError(f"issuer {one.issuer} is configured twice")
            if one.sign_in and other.sign_in and one.sign_in.name == other.sign_in.name:
                raise ValueError(
                    f"issuers {one.issuer} and {other.issuer} have the same sign_in.name, {one.sign_in.name!r}: "
                    "give each its own, which stands in its redirect URI"
                )
            if one.subject_prefix.startswith(other.subject_prefix) or other.subject_prefix.startswith(
                one.subject_prefix
            ):
                raise ValueError(
                    f"issuers {one.issuer} and {other.issuer} could name each other's subjects: give each a "
                    "subject_prefix that does not begin with the other's, e.g. 'staff:' and 'agents:'"
                )
