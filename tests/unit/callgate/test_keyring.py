"""The key ring: who may sign what and when, and that only the root makes rings."""

import base64
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sealing_fakes import NOW, Keys, public

from callgate.errors import Fatal
from callgate.keyring import CLOCK_SKEW, BadSignature, KeyRing, Ring, RingKey, open_ring, sign_ring
from callgate.signing import Signer, pae
from contracts.events import EVENTS
from contracts.identity import Role

TYPE, BODY = "callgate.call.allowed.v1", b'{"a":1}'
ROOT = Ed25519PrivateKey.generate()
KEYS = Keys()
HOUR = timedelta(hours=1)


def code_of(ring: Ring, header: str | None, roles: frozenset[Role], ce_type: str = TYPE, body: bytes = BODY) -> str:
    with pytest.raises(BadSignature) as bad:
        ring.verify(ce_type, body, header, roles)
    return bad.value.code


def test_the_right_role_verifies_and_every_other_is_refused() -> None:
    ring = KEYS.ring()
    for event in EVENTS:
        for role in Role:
            header = KEYS.signer(role).sign(event.TYPE, BODY)
            if role in event.ROLES:
                assert ring.verify(event.TYPE, BODY, header, event.ROLES).role == role
            else:
                assert code_of(ring, header, event.ROLES, event.TYPE) == "wrong_role"


def test_nobody_may_say_what_no_role_may() -> None:
    assert code_of(KEYS.ring(), KEYS.signer(Role.POLICY).sign(TYPE, BODY), frozenset()) == "wrong_role"


def test_unsigned_unknown_and_stolen_names_are_refused() -> None:
    ring, policy = KEYS.ring(), frozenset({Role.POLICY})
    assert code_of(ring, None, policy) == "unsigned"
    assert code_of(ring, "garbage", policy) == "unsigned"
    stranger = Ed25519PrivateKey.generate()
    assert code_of(ring, Signer(Role.POLICY, "policy-other", stranger).sign(TYPE, BODY), policy) == "unknown_key"
    assert code_of(ring, Signer(Role.POLICY, "policy-sign", stranger).sign(TYPE, BODY), policy) == "bad_signature"
    assert code_of(ring, Signer(Role.POLICY, "policy-seal", stranger).sign(TYPE, BODY), policy) == "unknown_key"


@given(st.integers(0, len(BODY) * 8 - 1))
def test_a_changed_body_fails_even_after_the_true_one_was_verified(bit: int) -> None:
    ring = KEYS.ring()
    header = KEYS.signer(Role.POLICY).sign(TYPE, BODY)
    for _ in range(2):  # the second from memory
        ring.verify(TYPE, BODY, header, {Role.POLICY})
    changed = bytearray(BODY)
    changed[bit // 8] ^= 1 << bit % 8
    assert code_of(ring, header, frozenset({Role.POLICY}), body=bytes(changed)) == "bad_signature"
    assert code_of(ring, header, frozenset({Role.POLICY}), ce_type="callgate.call.denied.v1") == "bad_signature"


def key(not_after_hours: float | None) -> RingKey:
    until = None if not_after_hours is None else NOW + not_after_hours * HOUR
    return RingKey(id="k", role=Role.POLICY, use="sign", public="", not_before=NOW, not_after=until)


def test_a_retired_key_signs_neither_for_now_nor_for_the_past() -> None:
    retired = key(1)
    retired.require_valid(NOW, NOW)
    retired.require_valid(NOW + HOUR / 2, NOW + HOUR / 2)
    late = NOW + HOUR + CLOCK_SKEW
    for times in ((late, late), (NOW + HOUR / 2, late), (late, NOW + HOUR / 2)):
        with pytest.raises(BadSignature, match="key_not_valid"):
            retired.require_valid(*times)


def test_a_key_does_not_sign_before_it_was_made() -> None:
    early = NOW - CLOCK_SKEW - timedelta(seconds=1)
    with pytest.raises(BadSignature, match="key_not_valid"):
        key(None).require_valid(early, NOW)
    key(None).require_valid(NOW - CLOCK_SKEW, NOW - CLOCK_SKEW)


def test_a_signed_ring_opens_and_a_changed_one_does_not() -> None:
    envelope = sign_ring(KEYS.document, ROOT)
    assert open_ring(envelope, ROOT.public_key()) == KEYS.document
    with pytest.raises(Fatal, match="ring_forged"):
        open_ring(sign_ring(KEYS.document, Ed25519PrivateKey.generate()), ROOT.public_key())


@given(st.data())
def test_no_flipped_bit_of_a_ring_opens(data: st.DataObject) -> None:
    small = KeyRing(deployment="d", serial=1, issued_at=NOW, keys=())
    parsed = json.loads(sign_ring(small, ROOT))
    place = data.draw(st.sampled_from(["payload", "sig"]))
    text = parsed["payload"] if place == "payload" else parsed["signatures"][0]["sig"]
    raw = bytearray(base64.b64decode(text))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    changed = base64.b64encode(raw).decode()
    if place == "payload":
        parsed["payload"] = changed
    else:
        parsed["signatures"][0]["sig"] = changed
    with pytest.raises(Fatal, match="ring_forged"):
        open_ring(json.dumps(parsed), ROOT.public_key())


@pytest.mark.parametrize(
    "envelope",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"payload": 1}',
        '{"payload": "!", "signatures": []}',
        '{"payload": "", "signatures": [1]}',
        "\ufffd",
    ],
)
def test_damaged_rings_are_named_as_such(envelope: str) -> None:
    with pytest.raises(Fatal, match="ring_unreadable"):
        open_ring(envelope, ROOT.public_key())


def test_another_document_of_the_root_is_no_ring() -> None:
    body = KEYS.document.model_dump_json().encode()
    other = "application/vnd.other+json"
    signed = {
        "payloadType": other,
        "payload": base64.b64encode(body).decode(),
        "signatures": [{"sig": base64.b64encode(ROOT.sign(pae(other, body))).decode()}],
    }
    with pytest.raises(Fatal, match="ring_forged"):
        open_ring(json.dumps(signed), ROOT.public_key())


# A running ring


def rotated(document: KeyRing, role: Role, serial: int, fresh: Ed25519PrivateKey) -> KeyRing:
    retired = tuple(
        k.model_copy(update={"not_after": NOW + HOUR}) if k.role == role and k.use == "sign" else k
        for k in document.keys
    )
    new = RingKey(id=f"{role}-new", role=role, use="sign", public=public(fresh), not_before=NOW + HOUR)
    return document.model_copy(update={"serial": serial, "keys": (*retired, new)})


class Source:
    """A file that hands a newer ring out once it changed."""

    def __init__(self) -> None:
        self.next: KeyRing | None = None

    def __call__(self) -> KeyRing | None:
        given, self.next = self.next, None
        return given


def test_a_running_ring_follows_a_rotation_in_both_directions() -> None:
    source, fresh = Source(), Ed25519PrivateKey.generate()
    ring = Ring(KEYS.document, source)
    old = KEYS.signer(Role.POLICY).sign(TYPE, BODY)
    new = Signer(Role.POLICY, "policy-new", fresh).sign(TYPE, BODY)
    assert ring.verify(TYPE, BODY, old, {Role.POLICY}).not_after is None
    assert code_of(ring, new, frozenset({Role.POLICY})) == "unknown_key"
    source.next = rotated(KEYS.document, Role.POLICY, 2, fresh)
    # The old key is known to be retired before any message of the new one came.
    assert ring.verify(TYPE, BODY, old, {Role.POLICY}).not_after == NOW + HOUR
    assert ring.verify(TYPE, BODY, new, {Role.POLICY}).id == "policy-new"
    assert ring.key("policy-new") is not None


def test_a_running_ring_takes_no_older_and_no_foreign_ring() -> None:
    source, fresh = Source(), Ed25519PrivateKey.generate()
    current = rotated(KEYS.document, Role.POLICY, 5, fresh)
    ring = Ring(current, source)
    for other in (
        KEYS.document,  # rolled back: the retired key would live again
        KEYS.document.model_copy(update={"serial": 5}),
        KEYS.document.model_copy(update={"serial": 9, "deployment": "elsewhere"}),
    ):
        source.next = other
        assert ring.verify(TYPE, BODY, KEYS.signer(Role.POLICY).sign(TYPE, BODY), {Role.POLICY}).not_after is not None
        assert ring.document == current


def test_readers_are_the_sealing_keys_in_force() -> None:
    ring = KEYS.ring()
    assert {key_id for key_id, _ in ring.readers({Role.POLICY, Role.EXECUTOR}, NOW)} == {"policy-seal", "executor-seal"}
    with pytest.raises(Fatal, match="no_reader_key"):
        ring.readers({Role.POLICY}, NOW - HOUR)
    without = KEYS.document.model_copy(update={"keys": tuple(k for k in KEYS.document.keys if k.id != "policy-seal")})
    with pytest.raises(Fatal, match="policy"):
        Ring(without).readers({Role.POLICY, Role.EXECUTOR}, NOW)
