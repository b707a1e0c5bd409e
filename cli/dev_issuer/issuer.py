"""What the development issuer signs."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt

from callgate.identity.settings import is_loopback
from cli.dev_issuer.codes import CLIENT_ID, AuthorizationRequest, Codes, authorization_request, may_be_sent_to
from cli.dev_issuer.keys import DevKeys
from cli.dev_issuer.people import DEMO_PEOPLE, Person

DEFAULT_LIFETIME = 8 * 3600
"""Seconds; a working day."""
ID_TOKEN_LIFETIME = 300


class RefusedRequest(Exception):
    """A token request that is not granted; `error` is a code of RFC 6749, section 5.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class DevIssuer:
    """Signs tokens for the demo's people with keys of its own. Development only.

    `issuer_url` must be on this machine (ValueError otherwise); `clock` gives Unix seconds. Who signs in is sent back
    to this machine, or to `public_url`, and nowhere else.
    """

    def __init__(
        self,
        keys: DevKeys,
        issuer_url: str,
        people: Sequence[Person] = DEMO_PEOPLE,
        *,
        audience: str,
        public_url: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not is_loopback(urlsplit(issuer_url).hostname or ""):
            raise ValueError("the development issuer gives out identities freely; its URL must be on 127.0.0.1")
        self.keys = keys
        self.url = issuer_url.rstrip("/")
        self.people = tuple(people)
        self.audience = audience
        self._public_url = public_url
        self._by_sub = {person.sub: person for person in people}
        self._clock = clock
        self._codes = Codes(clock)

    @classmethod
    def open(cls, folder: Path, *, issuer_url: str, audience: str, public_url: str | None = None) -> "DevIssuer":
        """With the keys in this folder, made now if there are none."""
        return cls(DevKeys.open(folder), issuer_url, audience=audience, public_url=public_url)

    def mint(
        self,
        sub: str,
        groups: Sequence[str] | None = None,
        *,
        audience: str | None = None,
        lifetime: float = DEFAULT_LIFETIME,
        act: str | Sequence[str] | None = None,
    ) -> str:
        """A signed token, for whomever it is asked; callers over HTTP go through `grant`.

        `groups` defaults to the person's own, `lifetime` is in seconds (a negative one gives an expired token).
        `act` names the agent acting for `sub`, or a chain of them, outermost first; an agent brings its own groups
        inside `act` (RFC 8693), because there the authenticator looks for those of whoever acts.
        """
        now = int(self._clock())
        claims: dict[str, Any] = {
            "iss": self.url,
            "sub": sub,
            "aud": audience if audience is not None else self.audience,
            "iat": min(now, int(now + lifetime)),
            "exp": int(now + lifetime),
            "jti": str(uuid.uuid4()),
            "groups": list(self._groups_of(sub) if groups is None else groups),
            "development_only": True,
        }
        actors = [act] if isinstance(act, str) else list(act or ())
        nested: dict[str, Any] | None = None
        for actor in reversed(actors):
            nested = {"sub": actor, "groups": list(self._groups_of(actor)), **({"act": nested} if nested else {})}
        if nested is not None:
            claims["act"] = nested
        return self._signed(claims)

    def authorization(self, query: Mapping[str, str]) -> AuthorizationRequest:
        """The request to sign somebody in, judged. BadRequest."""
        return authorization_request(query, self._public_url)

    def sign_in(self, sub: str, request: AuthorizationRequest) -> str | None:
        """A code for one of the people; None for nobody. Agents do not sign in."""
        person = self._by_sub.get(sub)
        return self._codes.grant(sub, request) if person is not None and person.kind != "agent" else None

    def redeem(self, form: Mapping[str, str]) -> tuple[str, str]:
        """Access token and ID token for a code. Raises RefusedRequest."""
        redeemed = self._codes.redeem(form)
        if redeemed is None:
            raise RefusedRequest("invalid_grant", "the code is not good, or not for this client, address and verifier")
        sub, nonce = redeemed
        now = int(self._clock())
        claims = {
            "iss": self.url,
            "sub": sub,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + ID_TOKEN_LIFETIME,
            "auth_time": now,
            "nonce": nonce,
            "groups": list(self._groups_of(sub)),
            "development_only": True,
        }
        return self.mint(sub), self._signed(claims)

    def may_send_to(self, url: str) -> bool:
        """Whether who signs out may be sent there."""
        return may_be_sent_to(url, self._public_url)

    def grant(self, sub: str, groups: Sequence[str] | None, act: str | None) -> str:
        """A token for one of the people, with no more than their groups. Raises RefusedRequest."""
        person = self._by_sub.get(sub)
        if person is None:
            raise RefusedRequest("invalid_grant", "sub is none of the demo people; GET / lists them")
        if groups is not None and not set(groups) <= set(person.groups):
            raise RefusedRequest("invalid_scope", "groups may only narrow those that this person has")
        if act is not None:
            agent = self._by_sub.get(act)
            if agent is None or sub not in agent.acts_for:
                raise RefusedRequest("invalid_grant", "act is no agent that may act for this person")
        return self.mint(sub, groups, act=act)

    def rotate(self) -> None:
        """Sign with a new key from now on; see DevKeys.rotate."""
        self.keys.rotate()

    def discovery(self) -> dict[str, Any]:
        """The OpenID Connect Discovery 1.0 document."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks.json",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "end_session_endpoint": f"{self.url}/end-session",
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "response_types_supported": ["code"],
            "scopes_supported": ["openid"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "jti", "auth_time", "nonce", "groups", "act"],
            "service_documentation": f"{self.url}/",
        }

    def _signed(self, claims: Mapping[str, Any]) -> str:
        key = self.keys.signing
        return jwt.encode(dict(claims), key.private, algorithm="ES256", headers={"kid": key.key_id})

    def _groups_of(self, sub: str) -> tuple[str, ...]:
        person = self._by_sub.get(sub)
        return person.groups if person else ()
