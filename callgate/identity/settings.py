"""What the operator says about a token issuer."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, IPvAnyNetwork, field_validator, model_validator

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


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


Prefix = Annotated[str, Field(max_length=64), AfterValidator(_printable)]
ClaimPath = Annotated[str, Field(min_length=1, max_length=256)]
"""A claim's name, or a dotted path such as `realm_access.roles`. Names that hold dots are found too, the longest
that fits first: `https://x.example/groups`, `kubernetes.io.namespace`."""


class GroupMapping(BaseModel):
    """Groups out of one more claim: a text is one group, a list several; a claim that is absent gives none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claim: ClaimPath
    prefix: Prefix = ""
    """Put before each, e.g. `repo:`, so that no value of this claim can be taken for a group of another."""
    split: bool = False
    """The text is a list of words with spaces between them, as `scope` is (RFC 8693, section 4.2)."""


class IssuerSettings(BaseModel):
    """One issuer whose tokens are accepted. Durations are in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    """The exact `iss` claim, a URL."""
    jwks_url: str | None = None
    """Where the key set is; None finds it through OpenID Connect Discovery, or RFC 8414 where the issuer has no such
    document."""
    audience: str = Field(min_length=1)
    """Must be (among) the token's `aud`."""
    algorithms: tuple[str, ...] = Field(default=("RS256", "ES256"), min_length=1)
    token_types: tuple[Literal["JWT", "at+jwt"], ...] = Field(default=("JWT", "at+jwt"), min_length=1)
    """The `typ` accepted; a token without one is a JWT. An issuer of RFC 9068 access tokens can be held to `at+jwt`, so
    that none of its ID tokens passes for one."""
    authorized_parties: tuple[str, ...] = ()
    """The clients that tokens may have been issued to (`azp`, else `client_id`); empty: any."""
    required_claims: dict[ClaimPath, tuple[str | bool, ...]] = Field(default_factory=dict)
    """Claims that must have one of these values (a list: hold one of them). Where everybody can get a token of the
    issuer, as with a public CI, this says whose count."""
    groups_claim: ClaimPath = "groups"
    """A list of groups. A delegated token (`act`) speaks for the actor, so its groups are read from inside `act`: the
    user's groups are not lent to the agent."""
    groups_from: tuple[GroupMapping, ...] = ()
    """More claims that become groups, e.g. a repository or a namespace; of a delegated token from inside `act` too."""
    groups_prefix: Prefix = ""
    """Put before every group of this issuer, so that it cannot put its subjects into the groups of another's."""
    subject_prefix: Prefix = ""
    """Put before each subject. With several issuers each needs its own, or one could name another's people."""
    sender_constrained: bool = False
    """Refuse tokens that are not bound to a key of their holder (DPoP or mutual TLS): a stolen one would do."""
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

    @field_validator("required_claims")
    @classmethod
    def _some_value(cls, required: dict[str, tuple[str | bool, ...]]) -> dict[str, tuple[str | bool, ...]]:
        if not all(required.values()):
            raise ValueError("name at least one value for each claim; with none, every token would be refused")
        return required

    @model_validator(mode="after")
    def _urls(self) -> Self:
        for name, url in (("issuer", self.issuer), ("jwks_url", self.jwks_url)):
            problem = url_problem(url, allow_plain_http=self.unsafe_plain_http) if url is not None else None
            if problem:
                raise ValueError(f"{name} {problem}")
        return self

    @property
    def discovery_urls(self) -> tuple[str, str]:
        """OpenID Connect Discovery 1.0, section 4, then RFC 8414, section 3, where the path comes after the well-known.
        A trailing slash of the issuer is not doubled."""
        issuer = self.issuer.rstrip("/")
        parts = urlsplit(issuer)
        path = "/.well-known/oauth-authorization-server" + parts.path
        return issuer + "/.well-known/openid-configuration", urlunsplit((parts.scheme, parts.netloc, path, "", ""))


class ClientCertificateSettings(BaseModel):
    """The header in which a TLS terminator passes on the certificate that the client proved to hold (RFC 8705).

    The terminator must set or remove it on every request: whoever can send it themselves is whoever they like.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: str = Field(default="Client-Cert", pattern=r"^[A-Za-z0-9-]{1,64}$")
    format: Literal["rfc9440", "pem"] = "rfc9440"
    """`rfc9440`: DER in base64 between colons. `pem`: percent-encoded PEM, as nginx's `$ssl_client_escaped_cert`."""
    proxies: tuple[IPvAnyNetwork, ...] = Field(min_length=1)
    """The addresses the terminator connects from; the header of anybody else is not read."""


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
