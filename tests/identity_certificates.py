"""An agent's own key and certificate, as DPoP, and as TLS terminators pass it on."""

import base64
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from identity_fakes import b64, ec_jwk

HOLDER = ec.generate_private_key(ec.SECP256R1())
JWK = ec_jwk(HOLDER, None)


def certificate() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(HOLDER.public_key())
    since = datetime(2026, 1, 1, tzinfo=UTC)
    builder = builder.serial_number(1).not_valid_before(since).not_valid_after(since + timedelta(days=3650))
    return builder.sign(HOLDER, hashes.SHA256())


CERTIFICATE = certificate()
THUMBPRINT = b64(CERTIFICATE.fingerprint(hashes.SHA256()))
RFC9440 = f":{base64.b64encode(CERTIFICATE.public_bytes(Encoding.DER)).decode()}:"
PEM = quote(CERTIFICATE.public_bytes(Encoding.PEM).decode())
