"""An issuer's public keys: parsed strictly, kept in memory, fetched again as they rotate (RFC 7517)."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from callgate import jsontext
from callgate.identity.errors import Refusal
from callgate.identity.fetch import Fetcher, FetchFailed
from callgate.identity.settings import IssuerSettings, url_problem
from callgate.identity.token import Header, refuse

_KEYS_LIMIT = 100
_RSA_BITS = range(2048, 8193)
"""Shorter is weak; longer makes each verification a denial of service."""
_SMALL_PRIMES = tuple(n for n in range(3, 168) if all(n % smaller for smaller in range(2, n)))
_EC_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_FIRST_RETRY = 1.0
"""Seconds between attempts while no key was ever had: nothing works without, so the longer interval would only hurt."""


class VerifyingKey(NamedTuple):
    key_id: str | None
    algorithm: str
    key: jwt.PyJWK


KeySet = tuple[VerifyingKey, ...]


class Keys(NamedTuple):
    """A key set and its generation: it grows when, and only when, a fetch brought other keys."""

    usable: KeySet
    generation: int
    fetched_at: float


def parse_key_set(document: bytes, allowed: tuple[str, ...]) -> KeySet:
    """The keys of a JWKS document that may verify with an allowed algorithm; a key counts once for each of them.

    Left out: symmetric keys, private keys, keys for encryption, weak, unknown or broken ones.
    ValueError if it is no key set or nothing is left (then the former keys stay, as when the issuer is away).
    """
    try:
        listed = jsontext.parse(document)["keys"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("not a JWK set") from None
    if not isinstance(listed, list) or len(listed) > _KEYS_LIMIT:
        raise ValueError("not a JWK set of reasonable size")
    keys = tuple(
        VerifyingKey(member.get("kid"), algorithm, key)
        for member in listed
        if isinstance(member, dict) and _may_verify(member)
        for algorithm in fitting_algorithms(member)
        if algorithm in allowed and (key := public_key(member, algorithm)) is not None
    )
    if not keys:
        raise ValueError("no usable key in the JWK set")
    return keys


def _may_verify(member: dict[str, Any]) -> bool:
    operations = member.get("key_ops", ["verify"])
    return (
        member.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(member.get("kid", ""), str)
        and "d" not in member  # a published private key verifies anybody's tokens
    )


def fitting_algorithms(member: dict[str, Any]) -> tuple[str, ...]:
    """Those that fit the key's own type, narrowed to its `alg` where it names one. Never the token's choice."""
    fitting: tuple[str, ...] = ()
    match member.get("kty"), member.get("crv"):
        case "RSA", _:
            fitting = _RSA_ALGORITHMS
        case "EC", str(curve) if curve in _EC_ALGORITHMS:
            fitting = (_EC_ALGORITHMS[curve],)
        case "OKP", "Ed25519":
            fitting = ("EdDSA",)
    named = member.get("alg")
    if named == "Ed25519":  # RFC 9864's name for it
        named = "EdDSA"
    return fitting if named is None else tuple(one for one in fitting if one == named)


def public_key(member: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    try:
        key = jwt.PyJWK(member, algorithm)
        strong = member["kty"] != "RSA" or _is_strong(key.key)
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, ArithmeticError, AttributeError):
        return None
    return key if strong else None


def _is_strong(key: RSAPublicKey) -> bool:
    """Of a sound length, and not made by the chips whose private keys can be computed (ROCA, CVE-2017-15361): their
    moduli are powers of 65537 modulo each small prime. One good key of 240 million is, too."""
    if key.key_size not in _RSA_BITS:
        return False
    modulus = key.public_numbers().n
    return not all(_is_power_of_65537(modulus % prime, prime) for prime in _SMALL_PRIMES)


def _is_power_of_65537(number: int, prime: int) -> bool:
    power = 1
    while power != number:
        power = power * 65537 % prime
        if power == 1:
            return False
    return True


class IssuerKeys:
    """The keys of one issuer, over time.

    - Within `keys_max_age` no fetch happens, save for an unknown key id.
    - An older set is fetched again first; while the issuer does not answer, the old keys serve for `keys_stale_for`
      more, and only the first failure is waited for. After that: Unauthenticated (issuer_unreachable).
    - At most one fetch in `keys_refresh_interval`, shared by all who wait for it, whatever tokens arrive.
    """

    def __init__(self, settings: IssuerSettings, *, clock: Callable[[], float], http: Fetcher) -> None:
        self._settings = settings
        self._clock = clock
        self._http = http
        self._keys: Keys | None = None
        self._attempted_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    def fresh(self) -> Keys | None:
        """The keys, if they are younger than their maximal age; costs no await. A clock set back makes them old."""
        keys = self._keys
        if keys is not None and 0 <= self._clock() - keys.fetched_at < self._settings.keys_max_age:
            return keys
        return None

    async def current(self) -> Keys:
        """Keys that may be used now. Raises Unauthenticated (issuer_unreachable) if there are none."""
        fresh = self.fresh()
        if fresh is not None:
            return fresh
        before = self._tolerable()
        await self._refresh(wait=before is None or not self._failed)
        keys = self._tolerable()
        if keys is None:
            refuse(Refusal.ISSUER_UNREACHABLE, "the issuer's keys cannot be had at the moment; try again")
        return keys

    async def find(self, header: Header) -> tuple[Keys, KeySet]:
        """The keys that the header may mean: its kid, or the only fitting one where it names none.

        Raises Unauthenticated: algorithm_not_allowed, unknown_key, issuer_unreachable.
        """
        keys = await self.current()
        if not self._named(keys, header):
            await self._refresh(wait=True)
            if self._failed:  # the key may well be a new one; a 401 would say that the token is bad
                refuse(Refusal.ISSUER_UNREACHABLE, "the issuer's keys cannot be had at the moment; try again")
            keys = await self.current()
        named = self._named(keys, header)
        if not named:
            refuse(Refusal.UNKNOWN_KEY, "the issuer publishes no key of the token's kid")
        fitting = tuple(key for key in named if key.algorithm == header.algorithm)
        if not fitting:
            refuse(Refusal.ALGORITHM_NOT_ALLOWED, "the token's algorithm does not fit the issuer's key")
        if header.key_id is None and len(fitting) > 1:
            refuse(Refusal.UNKNOWN_KEY, "the token names no key and the issuer publishes several")
        return keys, fitting

    async def aclose(self) -> None:
        """Stop a fetch under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    @staticmethod
    def _named(keys: Keys, header: Header) -> KeySet:
        return tuple(key for key in keys.usable if header.key_id is None or key.key_id == header.key_id)

    def _tolerable(self) -> Keys | None:
        limit = self._settings.keys_max_age + self._settings.keys_stale_for
        keys = self._keys
        return keys if keys is not None and self._clock() - keys.fetched_at < limit else None

    async def _refresh(self, *, wait: bool) -> None:
        """Join the fetch under way, or start one if the interval allows."""
        if self._fetching is None:
            interval = self._settings.keys_refresh_interval
            if self._keys is None:
                interval = min(interval, _FIRST_RETRY)
            now = self._clock()
            if self._attempted_at is not None and 0 <= now - self._attempted_at < interval:
                return
            self._attempted_at = now
            self._fetching = asyncio.create_task(self._fetch(), name="identity-keys")
        if wait:
            # A caller who hangs up must not end the fetch that others wait for.
            await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            usable = await self._download()
        except (FetchFailed, ValueError):
            self._failed = True
            return
        finally:
            self._fetching = None
        self._failed = False
        former = self._keys
        changed = former is None or _identity(former.usable) != _identity(usable)
        generation = (former.generation if former else 0) + changed
        self._keys = Keys(usable, generation, self._clock())

    async def _download(self) -> KeySet:
        url = self._settings.jwks_url
        if url is None:
            url = discovered_key_url(await self._metadata(), self._settings)
        return parse_key_set(await self._http.get(url), self._settings.algorithms)

    async def _metadata(self) -> bytes:
        openid, oauth = self._settings.discovery_urls
        try:
            return await self._http.get(openid)
        except FetchFailed:
            return await self._http.get(oauth)


def discovered_key_url(document: bytes, settings: IssuerSettings) -> str:
    """`jwks_uri` of a discovery document, which must be this very issuer's (Discovery 1.0, section 4.3). ValueError."""
    try:
        parsed: Mapping[str, Any] = jsontext.parse(document)
        issuer, url = parsed["issuer"], parsed["jwks_uri"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("not a discovery document") from None
    if issuer != settings.issuer or not isinstance(url, str):
        raise ValueError("a discovery document of another issuer")
    # What came over TLS does not send us to this machine's own plain-http ports.
    plain = url.startswith("http:") and settings.issuer.startswith("https:")
    if url_problem(url, allow_plain_http=settings.unsafe_plain_http) or (plain and not settings.unsafe_plain_http):
        raise ValueError("the discovered key URL is not acceptable")
    return url


def _identity(keys: KeySet) -> frozenset[tuple[str | None, str, str]]:
    """What makes two key sets the same: the public numbers, not their order or decoration."""
    return frozenset((key.key_id, key.algorithm, _material(key.key)) for key in keys)


def _material(key: jwt.PyJWK) -> str:
    # RFC 7638: the required members, sorted, are what a thumbprint covers.
    members = key.Algorithm.to_jwk(key.key, as_dict=True)
    return json.dumps({name: members.get(name) for name in ("crv", "e", "kty", "n", "x", "y")}, sort_keys=True)
