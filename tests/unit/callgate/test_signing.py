"""DSSE: the specification's own vector, and that no changed bit verifies."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from callgate.signing import Signature, Signer, digest_of, pae
from contracts.identity import Role

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def test_the_vector_of_the_specification() -> None:
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md#test-vectors
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_are_of_bytes() -> None:
    assert pae("ä", "ö".encode()) == b"DSSEv1 2 \xc3\xa4 2 \xc3\xb6"
    assert pae("", b"") == b"DSSEv1 0  0 "


@given(st.text(), st.binary(), st.text(), st.binary())
def test_no_two_messages_share_an_encoding(one_type: str, one: bytes, other_type: str, other: bytes) -> None:
    assert (pae(one_type, one) == pae(other_type, other)) == ((one_type, one) == (other_type, other))


@given(st.binary(max_size=40), st.integers(0, 39))
def test_moving_bytes_between_type_and_body_changes_the_digest(body: bytes, at: int) -> None:
    text = body.hex()
    cut = min(at, len(text))
    whole = digest_of("type", text.encode())
    moved = digest_of("type" + text[:cut], text[cut:].encode())
    assert (whole == moved) == (cut == 0)


def test_a_signature_is_of_type_and_body() -> None:
    header = Signer(Role.POLICY, "policy-1", KEY).sign("a.type", b"body")
    signature = Signature.parse(header)
    assert signature is not None
    assert signature.key_id == "policy-1"
    KEY.public_key().verify(signature.value, b"DSSEv1 6 a.type 4 body")
    assert str(signature) == header


@given(st.data())
def test_any_flipped_bit_fails(data: st.DataObject) -> None:
    ce_type, body = "callgate.call.allowed.v1", b'{"a":1}'
    signature = Signature.parse(Signer(Role.POLICY, "k", KEY).sign(ce_type, body))
    assert signature is not None
    parts = [ce_type.encode(), body, signature.value]
    which = data.draw(st.integers(0, 2))
    bit = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    parts[which] = bytes(changed)
    # As latin-1, since a flipped bit may leave no UTF-8: what is compared is the encoding's bytes.
    encoded = b"DSSEv1 %d %b %d %b" % (len(parts[0]), parts[0], len(parts[1]), parts[1])
    with pytest.raises(InvalidSignature):
        KEY.public_key().verify(parts[2], encoded)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        ":",
        "key",
        "key:",
        ":" + "A" * 86 + "==",
        "key:" + "A" * 85 + "==",
        "key:" + base64.b64encode(b"x" * 63).decode(),
        "key:" + base64.b64encode(b"x" * 65).decode(),
        "key:" + base64.b64encode(b"x" * 64).decode() + "\n",
        "key: " + base64.b64encode(b"x" * 64).decode(),
        "key:" + base64.urlsafe_b64encode(b"\xff" * 64).decode(),
        "key:ä" + "A" * 85 + "==",
    ],
)
def test_what_is_no_signature_is_none(header: str | None) -> None:
    assert Signature.parse(header) is None


@given(st.text())
def test_no_header_breaks_the_parser(header: str) -> None:
    parsed = Signature.parse(header)
    assert parsed is None or len(parsed.value) == 64
