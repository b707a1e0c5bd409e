"""What the development issuer signs."""

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt

from callgate.identity.settings import is_loopback
from cli.dev_issuer.keys import DevKeys
from cli.dev_issuer.people import DEMO_PEOPLE, Person

DEFAULT_LIFETIME = 8 * 3600
"""Seconds; a working day."""


class RefusedRequest(Exception):
    """A token request that is not granted; `error` is a code of RFC 6749, section 5.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class DevIssuer:
    """Signs tokens for the demo's people with keys of its own. Development only.

    `issuer_url` must be on this machine (ValueError otherwise); `clock` gives Unix seconds.
    """

    def __init__(
        self,
        keys: DevKeys,
        issuer_url: str,
        people: Sequence[Person] = DEMO_PEOPLE,
        *,
        audience: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not is_loopback(urlsplit(issuer_url).hostname or ""):
            raise ValueError("the development issuer gives out identities freely; its URL must be on 127.0.0.1")
        self.keys = keys
        self.url = issuer_url.rstrip("/")
        self.people = tuple(people)
        self.audience = audience
        self._by_sub = {person.sub: person for person in people}
        self._clock = clock

    @classmethod
    def open(cls, folder: Path, *, issuer_url: str, audience: str) -> "DevIssuer":
        """With the keys in this folder, made now if there are none."""
        return cls(DevKeys.open(folder), issuer_url, audience=audience)

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
        key = self.keys.signing
        return jwt.encode(claims, key.private, algorithm="ES256", headers={"kid": key.key_id})

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
        """The OpenID Connect Discovery 1.0 document, as far as this issuer goes (no authorisation code flow yet)."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks.json",
            "token_endpoint": f"{self.url}/token",
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "jti", "groups", "act"],
            "service_documentation": f"{self.url}/",
        }

    def _groups_of(self, sub: str) -> tuple[str, ...]:
        person = self._by_sub.get(sub)
        return person.groups if person else ()
