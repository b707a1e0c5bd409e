"""Tokens bound to a key of their holder: the proof that comes with each request, checked and used up.

DPoP (RFC 9449)         Authorization: DPoP <token>, and a fresh proof signed with the key of `cnf.jkt`
mutual TLS (RFC 8705)   Authorization: Bearer <token>, over a connection with the certificate of `cnf.x5t#S256`
"""

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from callgate.identity.claims import Confirmation
from callgate.identity.errors import Refusal
from callgate.identity.proofs import Request, b64url, check_proof
from callgate.identity.settings import ClientCertificateSettings
from callgate.identity.token import Credentials, refuse

WINDOW = 60.0
"""Seconds by which the `iat` of a proof may differ from our clock."""
KEPT = 300
"""Seconds that a proof's use is remembered: well over twice the window, so that no clock's error brings it back."""
PEER = "callgate.peer"
"""In an ASGI scope: the address that the connection came from, which no header can change (`callgate.connections`)."""
VERIFIED = "callgate.verified"
"""In a request's scope: the token by which its sender was identified, a `Verified`."""
_CERTIFICATE_LIMIT = 16 * 1024
_RFC9440 = re.compile(rb":([A-Za-z0-9+/]+={0,2}):")


class Headers(Protocol):
    def getlist(self, key: str) -> list[str]: ...


class HttpRequest(Protocol):
    """What is looked at of a Starlette request."""

    @property
    def method(self) -> str: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def scope(self) -> MutableMapping[str, Any]: ...


class Presented(NamedTuple):
    """What came with a token. `url` is the request's as its sender knows it."""

    method: str
    url: str
    proofs: Sequence[str] = ()
    certificate: str | None = None
    """The thumbprint (`x5t#S256`) of the certificate that the client proved to hold."""


class UsedProofs(Protocol):
    """Which proofs were used, at all replicas together."""

    async def use(self, proof: str) -> bool:
        """Whether this is the first use of that proof for `KEPT` seconds. BrokerAway where nobody can say."""
        ...


class Binding:
    """Checks the proof of bound tokens.

    `clock` gives Unix seconds. `url` is what clients address, without a path: proofs must be for it, whatever Host a
    request names; `addresses` are those of paths that clients know under another. `certificate` says where a TLS
    terminator passes on clients' certificates; None: nowhere.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        used: UsedProofs,
        url: str,
        certificate: ClientCertificateSettings | None = None,
        addresses: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._addresses = addresses
        self._clock = clock
        self._used = used
        self._url = url.rstrip("/")
        self._certificate = certificate

    def presented(self, request: HttpRequest) -> Presented:
        """What came with the request's token."""
        found = None
        if self._certificate is not None:
            values = request.headers.getlist(self._certificate.header)
            found = passed_on_certificate(self._certificate, request.scope.get(PEER), values)
        # As it was sent: in the decoded path an escaped slash, or question mark, would be one.
        path = request.scope["raw_path"].decode("ascii", "replace")
        url = self._addresses.get(path) or self._url + path
        return Presented(request.method, url, request.headers.getlist("dpop"), found)

    async def check(self, bound: Confirmation | None, credentials: Credentials, presented: Presented) -> None:
        """Unauthenticated unless the token needs no proof, or has the one that it needs."""
        if bound is None or bound.kind == "mtls":
            if credentials.scheme == "DPoP":
                refuse(Refusal.NOT_BOUND, "the token is not bound to a DPoP key; send it as `Bearer`")
            if bound is not None:
                _check_certificate(bound.thumbprint, presented.certificate)
            return
        if credentials.scheme != "DPoP" or len(presented.proofs) != 1:
            refuse(Refusal.PROOF_REQUIRED, "the token is bound to a key: send `Authorization: DPoP <token>`, one proof")
        request = Request(presented.method, presented.url)
        key = check_proof(presented.proofs[0], credentials.token, bound.thumbprint, request, self._clock(), WINDOW)
        if not await self._used.use(key):
            refuse(Refusal.PROOF_REPLAYED, "the DPoP proof was used before; make a new one for each request")


def _check_certificate(wanted: str, found: str | None) -> None:
    if found is None:
        refuse(Refusal.CERTIFICATE_REQUIRED, "the token is bound to a certificate, and the request came with none")
    if not hmac.compare_digest(wanted, found):
        refuse(Refusal.CERTIFICATE_MISMATCH, "the token is bound to another certificate than the connection's")


def passed_on_certificate(settings: ClientCertificateSettings, peer: str | None, values: Sequence[str]) -> str | None:
    """The thumbprint of the certificate in a trusted terminator's header; None where there is none to trust.

    `peer` is the address that the connection came from, whatever the request's headers say of it.
    """
    if peer is None or len(values) != 1 or len(values[0]) > _CERTIFICATE_LIMIT:
        return None
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return None
    # A socket for both families names an IPv4 peer ::ffff:a.b.c.d.
    address = getattr(address, "ipv4_mapped", None) or address
    if not any(address in network for network in settings.proxies):
        return None
    der = _der(values[0].strip(), settings.format)
    return None if der is None else b64url(hashlib.sha256(der).digest())


def _der(value: str, form: str) -> bytes | None:
    """The certificate's bytes; None for what is no certificate."""
    try:
        if form == "pem":
            return x509.load_pem_x509_certificate(unquote_to_bytes(value)).public_bytes(Encoding.DER)
        match = _RFC9440.fullmatch(value.encode("ascii"))
        if match is None:
            return None
        der = base64.b64decode(match[1], validate=True)
        x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        return None
    return der
