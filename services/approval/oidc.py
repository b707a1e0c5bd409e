"""Signing in at an issuer: OpenID Connect's authorisation code flow, with PKCE, state and nonce.

RFC 9700 is followed where it is stricter than OpenID Connect: PKCE with S256 always, a redirect URI of its own for each
issuer, and the `iss` of the answer (RFC 9207) checked wherever the issuer gives it.
"""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode, urlsplit

from callgate import jsontext
from callgate.identity.authenticator import Authenticator
from callgate.identity.client_settings import SignInSettings
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.identity.fetch import Fetcher, FetchFailed, Poster
from callgate.identity.settings import IssuerSettings, url_problem
from callgate.identity.token import parse_object, refuse
from callgate.ids import token
from contracts.identity import Principal
from services.approval.secret_files import SecretMissing, read_secret

CALLBACK = "/approvals/sign-in/{name}/callback"
_METADATA_MAX_AGE = 600.0
"""Seconds that an issuer's endpoints are taken to stay the same."""
_SECRET_BYTES = 32
"""Of state, nonce and verifier (RFC 7636, section 4.1 asks for these 256 bits)."""
_AUTHORIZATION_ERRORS = frozenset(
    {
        *("invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope", "server_error"),
        *("temporarily_unavailable", "interaction_required", "login_required", "account_selection_required"),
        *("consent_required", "invalid_request_object", "request_not_supported", "registration_not_supported"),
    }
)
"""What of an issuer's words may be repeated. RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6."""
_TOKEN_ERRORS = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"}
)


class Http(Fetcher, Poster, Protocol):
    """How issuers are reached."""


class SignInFailed(Exception):
    """`code` for the log; `detail` tells the person what to do. Neither quotes what the issuer or the browser sent."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail


class Attempt(NamedTuple):
    """A sign-in under way, as the browser keeps it, sealed."""

    provider: str
    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def new(cls, provider: str, next: str) -> "Attempt":
        state, nonce, verifier = (token(_SECRET_BYTES) for _ in range(3))
        return cls(provider, state, nonce, verifier, next)

    @property
    def challenge(self) -> str:
        """RFC 7636, section 4.2: S256."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class Metadata(NamedTuple):
    """What is used of a discovery document."""

    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str | None
    names_itself: bool
    """Whether every answer of the authorisation endpoint carries `iss`."""
    secret_methods: tuple[str, ...]


class SignedIn(NamedTuple):
    principal: Principal
    id_token: str | None
    """For signing out of the issuer too; None where it knows no such thing."""


def parse_metadata(document: bytes, settings: IssuerSettings) -> Metadata:
    """OpenID Connect Discovery 1.0, section 4.3: it must be this very issuer's. ValueError."""
    try:
        parsed: Mapping[str, Any] = jsontext.parse(document)
        issuer, authorization, exchange = (parsed[n] for n in ("issuer", "authorization_endpoint", "token_endpoint"))
        end_session = parsed.get("end_session_endpoint")
        methods = parsed.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("not a discovery document") from None
    if issuer != settings.issuer:
        raise ValueError("a discovery document of another issuer")
    for url in (authorization, exchange, *([] if end_session is None else [end_session])):
        if not isinstance(url, str) or url_problem(url, allow_plain_http=settings.unsafe_plain_http):
            raise ValueError("an endpoint of the issuer is not acceptable")
    return Metadata(
        authorization,
        exchange,
        end_session,
        parsed.get("authorization_response_iss_parameter_supported") is True,
        tuple(one for one in methods if isinstance(one, str)) if isinstance(methods, list) else (),
    )


def check_id_token(claims: Mapping[str, Any], client_id: str, nonce: str) -> None:
    """What a verified token must say to be the answer to our request. OpenID Connect Core 1.0, section 3.1.3.7."""
    said, party, audience = claims.get("nonce"), claims.get("azp"), claims.get("aud")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode("utf-8", "replace"), nonce.encode()):
        refuse(Refusal.INVALID_CLAIM, "the ID token answers another sign-in")
    if party is None and isinstance(audience, list) and len(audience) > 1:
        refuse(Refusal.MISSING_CLAIM, "the ID token has several audiences and lacks azp")
    if party is not None and party != client_id:
        refuse(Refusal.INVALID_CLAIM, "the ID token was given to another client")


class Provider:
    """One issuer at which people sign in. `now` gives Unix seconds."""

    def __init__(
        self,
        issuer: IssuerSettings,
        client: SignInSettings,
        public_url: str,
        http: Http,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = client.name
        self.label = client.label or urlsplit(issuer.issuer).hostname or issuer.issuer
        self.redirect_uri = public_url.rstrip("/") + CALLBACK.format(name=client.name)
        self._issuer = issuer
        self._client = client
        self._http = http
        self._now = now
        # An ID token is a plain JWT meant for our client; all else about it is as with the tokens of the API.
        as_client = {"audience": client.client_id, "authorized_parties": (), "token_types": ("JWT",)}
        accepted = issuer.model_copy(update=as_client | {"sender_constrained": False})
        self._authenticator = Authenticator([accepted], clock=now, http=http)
        self._metadata: tuple[Metadata, float] | None = None
        self._discovery: asyncio.Task[None] | None = None

    async def begin(self, attempt: Attempt) -> str:
        """Where to send the browser. SignInFailed."""
        endpoint = (await self._endpoints()).authorization_endpoint
        return _with_query(
            endpoint,
            {
                "response_type": "code",
                "client_id": self._client.client_id,
                "redirect_uri": self.redirect_uri,
                "scope": " ".join(self._client.scopes),
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": attempt.challenge,
                "code_challenge_method": "S256",
            },
        )

    async def redeem(self, attempt: Attempt, answer: Mapping[str, str]) -> SignedIn:
        """Who signed in, by what the issuer had the browser bring. SignInFailed."""
        if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise SignInFailed(400, "state_mismatch", "This answer belongs to another sign-in. Sign in again.")
        metadata = await self._endpoints()
        if answer.get("iss", None if metadata.names_itself else self._issuer.issuer) != self._issuer.issuer:
            raise SignInFailed(400, "issuer_mixed_up", "This answer came from another issuer. Sign in again.")
        if "error" in answer:
            raise self._refused(answer["error"])
        if not answer.get("code"):
            raise SignInFailed(400, "code_missing", "The issuer's answer is incomplete. Sign in again.")
        id_token = await self._exchanged(metadata, answer["code"], attempt.verifier)
        try:
            principal = await self._authenticator.authenticate(f"Bearer {id_token}")
            claims = parse_object(id_token.split(".")[1], "token's claims")
            check_id_token(claims, self._client.client_id, attempt.nonce)
        except Unauthenticated as error:
            raise SignInFailed(error.status, error.code, f"Not signed in: {error.detail}. Sign in again.") from None
        return SignedIn(principal, id_token if metadata.end_session_endpoint is not None else None)

    async def end_session(self, id_token: str, back: str) -> str | None:
        """Where the browser signs out of the issuer too (OpenID Connect RP-Initiated Logout 1.0); None: nowhere."""
        endpoint = (await self._endpoints()).end_session_endpoint
        if endpoint is None:
            return None
        hint = {"id_token_hint": id_token, "client_id": self._client.client_id, "post_logout_redirect_uri": back}
        return _with_query(endpoint, hint)

    async def aclose(self) -> None:
        """Stop fetches under way."""
        await self._authenticator.aclose()
        if self._discovery is not None:
            self._discovery.cancel()
            await asyncio.gather(self._discovery, return_exceptions=True)

    async def _endpoints(self) -> Metadata:
        if self._metadata is None or not 0 <= self._now() - self._metadata[1] < _METADATA_MAX_AGE:
            if self._discovery is None or self._discovery.done():
                self._discovery = asyncio.create_task(self._discover(), name="oidc-discovery")
            # One fetch for all who wait; who hangs up must not end it.
            await asyncio.shield(self._discovery)
        if self._metadata is None:
            raise self._away()
        return self._metadata[0]  # an older one where the issuer did not answer: its endpoints hardly ever change

    async def _discover(self) -> None:
        try:
            document = await self._http.get(self._issuer.discovery_urls[0])
            self._metadata = parse_metadata(document, self._issuer), self._now()
        except (FetchFailed, ValueError):
            return

    async def _exchanged(self, metadata: Metadata, code: str, verifier: str) -> str:
        """The ID token for a code. RFC 6749, section 4.1.3."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": verifier,
        }
        authorization = self._credentials(metadata, form)
        try:
            status, body = await self._http.post(metadata.token_endpoint, form, authorization)
        except FetchFailed:
            raise self._away() from None
        try:
            answer = jsontext.parse(body)
        except ValueError:
            answer = None
        answer = answer if isinstance(answer, dict) else {}
        if status != 200:
            error = answer.get("error")
            code = error if isinstance(error, str) and error in _TOKEN_ERRORS else "token_endpoint_failed"
            if code == "invalid_grant":
                detail = "The sign-in took too long, or was used already. Sign in again."
            else:
                detail = f"{self.label} did not answer for the sign-in ({code}). Tell whoever runs Callgate."
            raise SignInFailed(400 if code == "invalid_grant" else 502, code, detail)
        id_token = answer.get("id_token")
        if not isinstance(id_token, str):
            raise SignInFailed(
                502, "id_token_missing", f"{self.label} gave no ID token. Tell whoever runs Callgate: check its scopes."
            )
        return id_token

    def _credentials(self, metadata: Metadata, form: dict[str, str]) -> str | None:
        """How the client says who it is: the `Authorization` header, or more fields. RFC 6749, section 2.3.1."""
        path, client_id = self._client.client_secret_file, self._client.client_id
        if path is None:
            form["client_id"] = client_id
            return None
        try:
            secret = read_secret(path)
        except SecretMissing:
            raise SignInFailed(
                503, "secret_missing", "The client's secret cannot be read. Tell whoever runs Callgate."
            ) from None
        if "client_secret_basic" not in metadata.secret_methods and "client_secret_post" in metadata.secret_methods:
            form |= {"client_id": client_id, "client_secret": secret}
            return None
        pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _refused(self, error: str) -> SignInFailed:
        if error == "access_denied":
            return SignInFailed(403, error, f"{self.label} did not let you in. Ask whoever runs it for access.")
        code = error if error in _AUTHORIZATION_ERRORS else "authorization_failed"
        return SignInFailed(502, code, f"{self.label} did not sign you in ({code}). Try again, or tell who runs it.")

    def _away(self) -> SignInFailed:
        return SignInFailed(503, "issuer_unreachable", f"{self.label} cannot be reached at the moment. Try again.")


def _with_query(url: str, parameters: Mapping[str, str]) -> str:
    """RFC 6749, section 3.1: an endpoint may have a query of its own, which stays."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"
