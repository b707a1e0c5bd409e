"""From an `Authorization` header, and what came with it, to a principal."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jwt

from callgate.identity.binding import VERIFIED, Binding, HttpRequest, Presented
from callgate.identity.claims import Verified, principal_of
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.identity.fetch import Fetcher
from callgate.identity.keys import IssuerKeys, KeySet
from callgate.identity.settings import IssuerSettings, check_distinct
from callgate.identity.token import claimed_issuer, credentials, read_header, refuse
from contracts.identity import Principal

_JWS = jwt.PyJWS(options={"enforce_minimum_key_length": True})


class _Known(NamedTuple):
    """A token verified before, good as long as the issuer's keys are still those that verified it."""

    verified: Verified
    keys: IssuerKeys
    generation: int


class Authenticator:
    """Verifies tokens of the configured issuers.

    `clock` gives Unix seconds. `http` fetches the key sets. `cache_size` bounds the verified tokens remembered (by
    their SHA-256; about 1 KB each): a repeated token costs microseconds, and still ends at its `exp`, with its
    issuer's keys and by revocation. `binding` checks the proofs of tokens bound to a key; without it these are refused.
    `revoked` says whether a person revoked such a token, as far as is known. One instance belongs to one event loop.
    ValueError for no issuer, or issuers that could name each other's subjects.
    """

    def __init__(
        self,
        issuers: Sequence[IssuerSettings],
        *,
        clock: Callable[[], float],
        http: Fetcher,
        cache_size: int = 4096,
        binding: Binding | None = None,
        revoked: Callable[[Verified], bool] = lambda _: False,
    ) -> None:
        check_distinct(issuers)
        self._issuers = {one.issuer: (one, IssuerKeys(one, clock=clock, http=http)) for one in issuers}
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._cache_size = cache_size
        self._binding = binding
        self._revoked = revoked

    async def identify(self, request: HttpRequest) -> Principal:
        """The principal who sent a request: its one token, with what came along. Raises as `authenticate` does.

        The token, verified, is in the request's scope afterwards (`VERIFIED`): whoever serves it for long looks there
        for how long it counts.
        """
        tokens = request.headers.getlist("authorization")
        if len(tokens) > 1:
            refuse(Refusal.MALFORMED_TOKEN, "send one Authorization header")
        presented = self._binding.presented(request) if self._binding is not None else None
        verified = await self._authenticate(tokens[0] if tokens else None, presented)
        request.scope[VERIFIED] = verified
        return verified.principal

    async def authenticate(self, authorization_header: str | None, presented: Presented | None = None) -> Principal:
        """The principal behind the header's token. Raises Unauthenticated; BrokerAway where a proof's use cannot be
        recorded; nothing else.

        `presented` is what came with the token; without it a token that is bound to a key is refused. The caller must
        refuse a request with several `Authorization` headers itself: only one is seen here.
        """
        return (await self._authenticate(authorization_header, presented)).principal

    async def _authenticate(self, authorization_header: str | None, presented: Presented | None) -> Verified:
        sent = credentials(authorization_header)
        digest = hashlib.sha256(sent.token.encode()).digest()
        verified = await self._recall(digest) or await self._verify(sent.token, digest)
        if self._revoked(verified):
            refuse(Refusal.REVOKED, "the token, or its subject, was revoked here")
        if self._binding is not None and presented is not None:
            await self._binding.check(verified.confirmation, sent, presented)
        elif verified.confirmation is not None or sent.scheme != "Bearer":
            refuse(Refusal.PROOF_REQUIRED, "this door takes bearer tokens only, and no token that is bound to a key")
        return verified

    async def aclose(self) -> None:
        """Stop fetches under way."""
        for _, keys in self._issuers.values():
            await keys.aclose()

    async def _recall(self, digest: bytes) -> Verified | None:
        known = self._known.get(digest)
        if known is None:
            return None
        keys = known.keys.fresh() or await known.keys.current()
        verified = known.verified
        if keys.generation == known.generation and verified.valid_from <= self._clock() < verified.valid_until:
            if digest in self._known:  # another caller may have dropped it during the await
                self._known.move_to_end(digest)
            return verified
        self._known.pop(digest, None)
        return None

    async def _verify(self, token: str, digest: bytes) -> Verified:
        header = read_header(token)
        issuer = self._issuers.get(claimed_issuer(token))
        if issuer is None:
            refuse(Refusal.UNKNOWN_ISSUER, "the token's issuer is not configured here")
        settings, issuer_keys = issuer
        if header.kind not in {kind.lower() for kind in settings.token_types}:
            refuse(Refusal.MALFORMED_TOKEN, "the token's typ is none that is accepted of its issuer")
        if header.algorithm not in settings.algorithms:
            refuse(Refusal.ALGORITHM_NOT_ALLOWED, "the token's algorithm is not allowed for its issuer")
        keys, candidates = await issuer_keys.find(header)
        payload = signed_payload(token, candidates)
        verified = principal_of(payload, settings, self._clock())
        self._known[digest] = _Known(verified, issuer_keys, keys.generation)
        if len(self._known) > self._cache_size:
            self._known.popitem(last=False)
        return verified


def signed_payload(token: str, candidates: KeySet) -> bytes:
    """The payload's bytes, once one of the keys has verified them.

    PyJWT's claim checks are not used: they read the system's clock and parse leniently (duplicate members).
    """
    for candidate in candidates:
        try:
            payload: bytes = _JWS.decode(token, candidate.key, algorithms=[candidate.algorithm])
        except jwt.InvalidSignatureError:
            continue
        except (jwt.PyJWTError, ValueError, TypeError):
            refuse(Refusal.MALFORMED_TOKEN, "the token is no JWT in compact form")
        return payload
    raise Unauthenticated(Refusal.BAD_SIGNATURE, "the token's signature does not verify")
