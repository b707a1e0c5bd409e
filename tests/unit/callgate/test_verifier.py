"""What a process remembers of the events that it verified, signed and appended, and what it never takes on trust."""

import dataclasses
from typing import Any

import pytest
from sealing_fakes import NOW, Keys

from callgate.ids import mint_session, uuid7
from callgate.keyring import KeyRing, Ring
from callgate.log.messages import CE_TYPE, Alien, Message, Verifier
from callgate.signing import SIGNATURE_HEADER
from contracts.events import Allowed, ArgumentsMasked, EventData, Recorded, Requested, Sealed, encode_event, make_event
from contracts.identity import Principal, Role
from contracts.subjects import CallRef, Partition

KEYS = Keys()
GENESIS = "9" * 64
AGENT = Principal(id="bot", issuer="https://issuer.test", groups=("bots",))
SEALED = Sealed(key_id="k", nonce="n", ciphertext="c")
STEPS: tuple[tuple[Role, EventData], ...] = (
    (Role.INGRESS, Requested(function="f", principal=AGENT, arguments=SEALED)),
    (Role.MASKING, ArgumentsMasked(function="f", principal=AGENT, arguments=SEALED, view=SEALED)),
    (Role.POLICY, Allowed(policy_set="a" * 64, function_digest="b" * 64)),
)


def new_ref() -> CallRef:
    return CallRef(Partition(1, 0), mint_session(AGENT.session_owner), uuid7())


class Turning:
    """A ring that can be replaced by a newer one."""

    def __init__(self) -> None:
        self.next: KeyRing | None = None
        self.ring = Ring(KEYS.document, lambda: self.next)

    def turn(self, **changes: Any) -> None:
        keys = tuple(k.model_copy(update=changes) if k.id == "policy-sign" else k for k in KEYS.document.keys)
        self.next = KEYS.document.model_copy(update={"serial": KEYS.document.serial + 1, "keys": keys})


class Minted:
    """An event as its service makes it, and as the broker hands it out."""

    def __init__(self, role: Role, data: EventData, ref: CallRef, follows: str, sequence: int) -> None:
        self.ref, self.sequence = ref, sequence
        self.event = make_event(uuid7(), ref, NOW, follows, data)
        self.body = encode_event(self.event)
        self.header = KEYS.signer(role).sign(data.TYPE, self.body)
        self.key = next(key for key in KEYS.document.keys if key.id == f"{role}-sign")

    def message(self, **changes: Any) -> Message:
        ce_type = self.event.data.TYPE
        headers = {CE_TYPE: ce_type, SIGNATURE_HEADER: self.header}
        subject = self.ref.subject(self.event.data.NAME)
        return dataclasses.replace(Message(subject, headers, self.body, self.sequence, NOW), **changes)

    def noted(self, verifier: Verifier) -> str:
        return verifier.made(self.ref, self.body, self.header, self.key, self.event)

    def recorded(self, digest: str) -> Recorded:
        return Recorded(self.ref, self.sequence, NOW, digest, self.key.id, self.event)


def chain_of(verifier: Verifier, ref: CallRef, first_sequence: int = 1) -> list[Recorded]:
    """Three events as one process makes them, none of them appended yet."""
    follows, chain = GENESIS, []
    for place, (role, data) in enumerate(STEPS):
        minted = Minted(role, data, ref, follows, first_sequence + place)
        follows = minted.noted(verifier)
        chain.append(minted.recorded(follows))
    return chain


def refused(verifier: Verifier, message: Message) -> str:
    found = verifier.verify(message)
    assert isinstance(found, Alien)
    return found.code


@pytest.fixture
def turning() -> Turning:
    return Turning()


@pytest.fixture
def verifier(turning: Turning) -> Verifier:
    return Verifier(turning.ring, {1: 1})


def allowed(ref: CallRef | None = None) -> Minted:
    role, data = STEPS[2]
    return Minted(role, data, ref or new_ref(), GENESIS, 3)


@pytest.mark.parametrize("known_by", ["signing", "verifying"])
def test_what_is_known_counts_at_once_and_its_key_is_asked_for_all_the_same(
    verifier: Verifier, turning: Turning, known_by: str
) -> None:
    minted = allowed()
    if known_by == "signing":
        minted.noted(verifier)
    first = verifier.verify(minted.message())
    again = verifier.verify(minted.message(sequence=9))
    assert isinstance(first, Recorded)
    assert isinstance(again, Recorded)
    assert again.event is first.event  # neither parsed nor verified again
    assert (first.sequence, again.sequence) == (3, 9)
    for changes, code in (
        ({"role": Role.MASKING}, "wrong_role"),
        ({"not_after": NOW.replace(year=2020)}, "key_not_valid"),
        ({"id": "policy-other"}, "unknown_key"),
        ({"public": KEYS.document.keys[0].public}, "bad_signature"),
    ):
        turning.turn(**changes)
        turned = Verifier(turning.ring, {1: 1})
        minted.noted(turned)
        assert refused(turned, minted.message()) == code
        turning.ring = Ring(KEYS.document, lambda: turning.next)


def test_what_was_known_speaks_for_no_other_bytes_subject_or_type(verifier: Verifier) -> None:
    minted = allowed()
    minted.noted(verifier)
    assert refused(verifier, minted.message(body=b"other bytes")) == "bad_signature"
    other = {**minted.message().headers, CE_TYPE: "callgate.call.denied.v1"}
    assert refused(verifier, minted.message(headers=other)) == "subject_differs"
    denied = minted.message(headers=other, subject=minted.ref.subject("denied"))
    assert refused(verifier, denied) == "bad_signature"
    assert refused(verifier, minted.message(subject=new_ref().subject("allowed"))) == "ids_differ"
    assert refused(verifier, minted.message(headers={CE_TYPE: Allowed.TYPE})) == "unsigned"
    late = NOW.replace(year=2020)
    assert refused(verifier, minted.message(recorded_at=late)) == "key_not_valid"


def test_the_chain_is_known_where_all_of_it_was_appended_or_answered(verifier: Verifier) -> None:
    requested, masked, last = chain_of(verifier, new_ref())
    verifier.appended(masked, requested)
    assert verifier.known_chain(last, GENESIS) is None  # minted, but perhaps never taken by the broker
    verifier.appended(last, masked)
    assert verifier.known_chain(last, GENESIS) == [requested, masked, last]
    assert verifier.known_chain(masked, GENESIS) == [requested, masked]


def test_no_chain_is_made_of_what_was_only_read(verifier: Verifier) -> None:
    follows, chain = GENESIS, []
    ref = new_ref()
    for place, (role, data) in enumerate(STEPS):
        found = verifier.verify(Minted(role, data, ref, follows, place + 1).message())
        assert isinstance(found, Recorded)
        chain.append(found)
        follows = found.digest
    assert verifier.known_chain(chain[-1], GENESIS) is None
    verifier.appended(chain[2], chain[1])
    assert verifier.known_chain(chain[-1], GENESIS) is None  # its beginning is nobody's word


def test_a_chain_of_another_partition_place_or_order_is_read(verifier: Verifier) -> None:
    requested, masked, last = chain_of(verifier, new_ref())
    verifier.appended(masked, requested)
    verifier.appended(last, masked)
    assert verifier.known_chain(last, "8" * 64) is None
    assert verifier.known_chain(dataclasses.replace(last, sequence=7), GENESIS) is None
    verifier.appended(dataclasses.replace(masked, sequence=3), None)
    assert verifier.known_chain(last, GENESIS) is None


def test_a_chain_with_a_key_that_lost_its_right_is_read(verifier: Verifier, turning: Turning) -> None:
    requested, masked, last = chain_of(verifier, new_ref())
    verifier.appended(masked, requested)
    verifier.appended(last, masked)
    turning.turn(not_after=NOW.replace(year=2020))
    assert verifier.known_chain(last, GENESIS) is None
    assert verifier.known_chain(masked, GENESIS) == [requested, masked]


def test_the_memory_is_bounded(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callgate.log.messages._REMEMBERED", 3)
    first, second = chain_of(verifier, new_ref()), chain_of(verifier, new_ref())
    for chain in (first, second):
        verifier.appended(chain[1], chain[0])
        verifier.appended(chain[2], chain[1])
    assert verifier.known_chain(first[-1], GENESIS) is None
    assert verifier.known_chain(second[-1], GENESIS) == second
    monkeypatch.setattr("callgate.log.messages._REMEMBERED_SIZE", 10)
    large = chain_of(verifier, new_ref())
    verifier.appended(large[1], large[0])
    verifier.appended(large[2], large[1])
    assert verifier.known_chain(large[-1], GENESIS) is None
    assert verifier.known_chain(second[-1], GENESIS) == second
