"""Sealed payloads open for their readers, in their own place, unchanged; and nowhere and for nobody else."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sealing_fakes import NOW, Keys

from callgate.errors import Rejected, Retryable
from callgate.ids import uuid7
from callgate.sealing import INLINE_LIMIT, READERS, Place, Sealer
from contracts.events import DataClass, PayloadRef, Sealed
from contracts.identity import Role
from contracts.records import SessionKey, WrappedKey
from contracts.subjects import CallRef, Partition

SESSION, OTHER_SESSION = "s_" + "a" * 32, "s_" + "b" * 32
REF = CallRef(Partition(1, 0), SESSION, uuid7())
PLACE = Place(REF, uuid7(), "arguments")
SECRET = b'{"card":"4111111111111111"}'
CLASSES: tuple[DataClass, ...] = get_args(DataClass)


@pytest.fixture
def keys() -> Keys:
    return Keys()


async def refused(sealer: Sealer, sealed: Sealed, place: Place = PLACE, data_class: DataClass = "raw") -> str:
    with pytest.raises(Rejected) as rejected:
        await sealer.open(sealed, place, data_class)
    assert "4111" not in str(rejected.value)
    return rejected.value.code


@pytest.mark.parametrize("data_class", CLASSES)
@pytest.mark.parametrize("role", Role)
async def test_who_seals_and_who_reads_is_the_table(keys: Keys, role: Role, data_class: DataClass) -> None:
    readers = READERS.get((role, data_class))
    if readers is None:
        with pytest.raises(Rejected, match="may_not_seal"):
            await keys.sealer(role).seal(SECRET, PLACE, data_class, NOW)
        assert keys.session_keys.stored == {}
        return
    sealed = await keys.sealer(role).seal(SECRET, PLACE, data_class, NOW)
    for reader in Role:
        if reader in readers:
            assert await keys.sealer(reader).open(sealed, PLACE, data_class) == SECRET
        else:
            assert await refused(keys.sealer(reader), sealed, PLACE, data_class) == "not_a_reader"


async def test_the_public_services_seal_what_they_cannot_open(keys: Keys) -> None:
    for role in (Role.INGRESS, Role.APPROVAL, Role.EXECUTOR):
        sealer = keys.sealer(role)
        sealed = await sealer.seal(SECRET, PLACE, "raw", NOW)
        assert await refused(sealer, sealed) == "not_a_reader"


async def test_a_role_that_the_table_does_not_name_reads_nothing_even_with_a_key(keys: Keys) -> None:
    sealed = await keys.sealer(Role.MASKING).seal(SECRET, PLACE, "raw", NOW)
    lent = {"executor-seal": keys.seal[Role.EXECUTOR]}
    approval = Sealer(Role.APPROVAL, keys.ring(), lent, keys.session_keys.of(Role.APPROVAL), keys.payloads)
    assert await refused(approval, sealed) == "not_a_reader"


async def test_a_key_that_its_publisher_may_not_make_opens_nothing(keys: Keys) -> None:
    sealed = await keys.sealer(Role.MASKING).seal(SECRET, PLACE, "view", NOW)
    ((at, (record, _)),) = keys.session_keys.stored.items()
    keys.session_keys.stored[at] = (record, Role.INGRESS)
    assert await refused(keys.sealer(Role.AUDIT), sealed, PLACE, "view") == "may_not_seal"


@pytest.mark.parametrize(
    "place",
    [
        replace(PLACE, field="view"),
        replace(PLACE, event_id=uuid7()),
        replace(PLACE, ref=REF._replace(call_id=uuid7())),
        replace(PLACE, ref=REF._replace(partition=Partition(2, 0))),
        replace(PLACE, ref=REF._replace(partition=Partition(1, 1))),
    ],
    ids=["field", "event", "call", "epoch", "shard"],
)
async def test_it_opens_in_its_own_place_only(keys: Keys, place: Place) -> None:
    sealed = await keys.sealer(Role.MASKING).seal(SECRET, PLACE, "raw", NOW)
    executor = keys.sealer(Role.EXECUTOR)
    assert await refused(executor, sealed, place) == "seal_broken"
    assert await executor.open(sealed, PLACE, "raw") == SECRET
    assert await refused(executor, sealed, place) == "seal_broken"  # with the key in memory too


async def test_it_does_not_open_in_another_session(keys: Keys) -> None:
    masking, executor = keys.sealer(Role.MASKING), keys.sealer(Role.EXECUTOR)
    sealed = await masking.seal(SECRET, PLACE, "raw", NOW)
    there = replace(PLACE, ref=REF._replace(session_id=OTHER_SESSION))
    assert await refused(executor, sealed, there) == "key_missing"
    # Somebody copies the key's record into the other session, as it is and renamed.
    ((_, (record, role)),) = keys.session_keys.stored.items()
    keys.session_keys.stored[OTHER_SESSION, record.key_id] = (record, role)
    assert await refused(executor, sealed, there) == "key_misplaced"
    renamed = record.model_copy(update={"session_id": OTHER_SESSION})
    keys.session_keys.stored[OTHER_SESSION, record.key_id] = (renamed, role)
    assert await refused(executor, sealed, there) == "key_broken"


async def test_it_does_not_open_as_another_class(keys: Keys) -> None:
    sealed = await keys.sealer(Role.MASKING).seal(SECRET, PLACE, "raw", NOW)
    policy = keys.sealer(Role.POLICY)  # reads both
    assert await policy.open(sealed, PLACE, "raw") == SECRET
    assert await refused(policy, sealed, PLACE, "view") == "key_misplaced"


async def test_it_does_not_open_in_another_deployment(keys: Keys) -> None:
    """The same keys under another name: a copy of everything, streams and folders."""
    sealed = await keys.sealer(Role.MASKING).seal(SECRET, PLACE, "raw", NOW)
    elsewhere = replace(keys, deployment="elsewhere")
    assert await refused(elsewhere.sealer(Role.EXECUTOR), sealed) == "key_broken"


def flipped(text: str, bit: int) -> str:
    raw = bytearray(base64.b64decode(text))
    bit %= len(raw) * 8
    raw[bit // 8] ^= 1 << bit % 8
    return base64.b64encode(raw).decode()


@given(st.sampled_from(["ciphertext", "nonce", "wrapped"]), st.integers(0, 10_000))
async def test_no_flipped_bit_opens(part: str, bit: int) -> None:
    keys = Keys()
    sealed = await keys.sealer(Role.INGRESS).seal(SECRET, PLACE, "raw", NOW)
    if part == "wrapped":
        ((at, (record, role)),) = keys.session_keys.stored.items()
        changed = WrappedKey(reader_key_id="masking-seal", wrapped=flipped(record.wraps[0].wrapped, bit))
        keys.session_keys.stored[at] = (record.model_copy(update={"wraps": (changed,)}), role)
        assert await refused(keys.sealer(Role.MASKING), sealed) == "key_broken"
    else:
        changed_payload = sealed.model_copy(update={part: flipped(getattr(sealed, part), bit)})
        assert await refused(keys.sealer(Role.MASKING), changed_payload) == "seal_broken"


@given(st.text(), st.text(), st.text())
async def test_whatever_stands_there_is_refused_in_our_own_words(key_id: str, nonce: str, ciphertext: str) -> None:
    keys = Keys()
    good = await keys.sealer(Role.INGRESS).seal(SECRET, PLACE, "raw", NOW)
    masking = keys.sealer(Role.MASKING)
    assert await refused(masking, good.model_copy(update={"ciphertext": ciphertext})) == "seal_broken"
    assert await refused(masking, good.model_copy(update={"nonce": nonce})) == "seal_broken"
    assert await refused(masking, good.model_copy(update={"key_id": key_id})) == "key_missing"


@given(st.binary(max_size=120))
async def test_whatever_is_wrapped_is_refused_in_our_own_words(wrapped: bytes) -> None:
    keys = Keys()
    sealed = await keys.sealer(Role.INGRESS).seal(SECRET, PLACE, "raw", NOW)
    ((at, (record, role)),) = keys.session_keys.stored.items()
    wrap = WrappedKey(reader_key_id="masking-seal", wrapped=base64.b64encode(wrapped).decode())
    keys.session_keys.stored[at] = (record.model_copy(update={"wraps": (wrap,)}), role)
    assert await refused(keys.sealer(Role.MASKING), sealed) == "key_broken"


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
async def test_a_data_key_of_another_length_is_refused(keys: Keys, length: int) -> None:
    from callgate import sealing

    sealed = await keys.sealer(Role.INGRESS).seal(SECRET, PLACE, "raw", NOW)
    ((at, (record, role)),) = keys.session_keys.stored.items()
    info = "\0".join(("callgate data key", "unit", SESSION, record.key_id, "raw", "ingress")).encode()
    short = sealing._SUITE.encrypt(b"x" * length, keys.seal[Role.MASKING].public_key(), info=info)
    wrap = WrappedKey(reader_key_id="masking-seal", wrapped=base64.b64encode(short).decode())
    keys.session_keys.stored[at] = (record.model_copy(update={"wraps": (wrap,)}), role)
    assert await refused(keys.sealer(Role.MASKING), sealed) == "key_broken"


async def test_equal_payloads_look_different_each_time(keys: Keys) -> None:
    ingress = keys.sealer(Role.INGRESS)
    sealed = [await ingress.seal(SECRET, PLACE, "raw", NOW) for _ in range(50)]
    assert len({one.nonce for one in sealed}) == len({one.ciphertext for one in sealed}) == 50
    assert len({one.key_id for one in sealed}) == 1
    assert all(SECRET not in base64.b64decode(one.ciphertext or "") for one in sealed)


async def test_each_sealer_session_and_class_has_a_key_of_its_own(keys: Keys) -> None:
    masking, again = keys.sealer(Role.MASKING), keys.sealer(Role.MASKING)
    there = replace(PLACE, ref=REF._replace(session_id=OTHER_SESSION))
    sealed = [
        await masking.seal(SECRET, PLACE, "raw", NOW),
        await masking.seal(SECRET, PLACE, "view", NOW),
        await masking.seal(SECRET, there, "raw", NOW),
        await again.seal(SECRET, PLACE, "raw", NOW),
    ]
    assert len({one.key_id for one in sealed}) == 4


async def test_concurrent_first_seals_all_open(keys: Keys) -> None:
    class Slow:
        """Holds every first key back until all have been asked for."""

        def __init__(self) -> None:
            self.barrier = asyncio.Barrier(5)
            self.store = keys.session_keys.of(Role.INGRESS)

        async def publish(self, key: SessionKey) -> None:
            await self.barrier.wait()
            await self.store.publish(key)

        async def fetch(self, session_id: str, key_id: str) -> tuple[SessionKey, Role]:
            return await self.store.fetch(session_id, key_id)

        async def first(self, session_id: str, role: Role, data_class: DataClass) -> SessionKey | None:
            return await self.store.first(session_id, role, data_class)

    ingress = Sealer(Role.INGRESS, keys.ring(), {}, Slow(), keys.payloads)
    sealed = await asyncio.gather(*(ingress.seal(b"%d" % n, PLACE, "raw", NOW) for n in range(5)))
    masking = keys.sealer(Role.MASKING)
    assert [await masking.open(one, PLACE, "raw") for one in sealed] == [b"0", b"1", b"2", b"3", b"4"]


async def test_nothing_is_sealed_before_its_key_is_stored(keys: Keys) -> None:
    class Away:
        async def publish(self, key: SessionKey) -> None:
            raise Rejected("broker_away")

        async def fetch(self, session_id: str, key_id: str) -> tuple[SessionKey, Role]:
            raise Rejected("broker_away")

        async def first(self, session_id: str, role: Role, data_class: DataClass) -> SessionKey | None:
            return None

    ingress = Sealer(Role.INGRESS, keys.ring(), {}, Away(), keys.payloads)
    for _ in range(2):  # the failed key is not kept either
        with pytest.raises(Rejected, match="broker_away"):
            await ingress.seal(SECRET, PLACE, "raw", NOW)


# Big payloads


@pytest.mark.parametrize(
    ("size", "chunks"), [(0, 0), (INLINE_LIMIT - 16, 0), (INLINE_LIMIT - 15, 2), (3 * INLINE_LIMIT, 4)]
)
async def test_what_is_too_big_for_an_event_goes_in_chunks(keys: Keys, size: int, chunks: int) -> None:
    secret = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    sealed = await keys.sealer(Role.EXECUTOR).seal(secret, PLACE, "raw", NOW)
    assert (sealed.payload.chunks if sealed.payload else 0) == chunks
    for stored in keys.payloads.stored.values():
        assert all(0 < len(chunk) <= INLINE_LIMIT for chunk in stored)
    assert await keys.sealer(Role.MASKING).open(sealed, PLACE, "raw") == secret


def _swap(chunks: list[bytes]) -> None:
    chunks[0], chunks[1] = chunks[1], chunks[0]


def _flip(chunks: list[bytes]) -> None:
    chunks[1] = bytes([chunks[1][0] ^ 1]) + chunks[1][1:]


@pytest.mark.parametrize(
    ("damage", "code"), [(_swap, "payload_changed"), (_flip, "payload_changed"), (list.clear, "payload_missing")]
)
async def test_damaged_chunks_open_nothing(keys: Keys, damage: Callable[[list[bytes]], None], code: str) -> None:
    sealed = await keys.sealer(Role.EXECUTOR).seal(b"x" * 2 * INLINE_LIMIT, PLACE, "raw", NOW)
    (chunks,) = keys.payloads.stored.values()
    damage(chunks)
    assert await refused(keys.sealer(Role.MASKING), sealed) == code


async def test_another_payload_is_not_taken_for_it(keys: Keys) -> None:
    executor = keys.sealer(Role.EXECUTOR)
    one = await executor.seal(b"1" * 2 * INLINE_LIMIT, PLACE, "raw", NOW)
    other = await executor.seal(b"2" * 2 * INLINE_LIMIT, replace(PLACE, field="view"), "raw", NOW)
    assert isinstance(other.payload, PayloadRef)
    # A consistent reference to the other ciphertext: the place does not fit.
    swapped = one.model_copy(update={"payload": other.payload, "nonce": other.nonce})
    assert await refused(keys.sealer(Role.MASKING), swapped) == "seal_broken"


# Erasure and rotation


async def test_an_erased_session_opens_no_more(keys: Keys) -> None:
    sealed = await keys.sealer(Role.MASKING).seal(SECRET, PLACE, "raw", NOW)
    keys.session_keys.stored.clear()
    assert await refused(keys.sealer(Role.EXECUTOR), sealed) == "key_missing"


async def test_what_was_sealed_to_an_old_key_opens_after_a_rotation(keys: Keys) -> None:
    sealed = await keys.sealer(Role.MASKING).seal(SECRET, PLACE, "raw", NOW)
    fresh = X25519PrivateKey.generate()
    held = {"executor-new": fresh, "executor-seal": keys.seal[Role.EXECUTOR]}
    executor = Sealer(Role.EXECUTOR, keys.ring(), held, keys.session_keys.of(Role.EXECUTOR), keys.payloads)
    assert await executor.open(sealed, PLACE, "raw") == SECRET
    only_new = Sealer(
        Role.EXECUTOR, keys.ring(), {"executor-new": fresh}, keys.session_keys.of(Role.EXECUTOR), keys.payloads
    )
    with pytest.raises(Retryable, match="sealing_key_away"):
        await only_new.open(sealed, PLACE, "raw")


# Secrets of a session


async def test_a_sessions_secret_is_the_same_for_every_replica_and_after_a_restart(keys: Keys) -> None:
    first, second = keys.sealer(Role.MASKING), keys.sealer(Role.MASKING)
    secret = await first.session_secret(SESSION, "tokens", NOW)
    assert len(secret) == 64
    await second.seal(SECRET, PLACE, "raw", NOW)  # a later key of the session changes nothing
    assert await second.session_secret(SESSION, "tokens", NOW) == secret
    assert await first.session_secret(SESSION, "tokens", NOW, remembered=False) == secret


async def test_every_session_and_purpose_has_a_secret_of_its_own(keys: Keys) -> None:
    masking, elsewhere = keys.sealer(Role.MASKING), replace(keys, deployment="elsewhere").sealer(Role.MASKING)
    made = {
        await masking.session_secret(session, purpose, NOW)
        for session in (SESSION, OTHER_SESSION)
        for purpose in ("tokens", "hashes")
    }
    assert len(made) == 4
    with pytest.raises(Rejected, match="key_broken"):
        await elsewhere.session_secret(SESSION, "tokens", NOW)


async def test_an_erased_sessions_secret_is_gone(keys: Keys) -> None:
    masking = keys.sealer(Role.MASKING)
    secret = await masking.session_secret(SESSION, "tokens", NOW)
    keys.session_keys.stored.clear()
    with pytest.raises(Rejected, match="key_missing"):
        await masking.session_secret(SESSION, "tokens", NOW, remembered=False)
    with pytest.raises(Rejected, match="key_missing"):  # and it is not remembered any more
        await masking.session_secret(SESSION, "tokens", NOW)
    assert await keys.sealer(Role.MASKING).session_secret(SESSION, "tokens", NOW) != secret


@pytest.mark.parametrize("role", [Role.INGRESS, Role.EXECUTOR, Role.APPROVAL])
async def test_who_cannot_read_what_it_seals_has_no_secret(keys: Keys, role: Role) -> None:
    with pytest.raises(Rejected, match="not_a_reader"):
        await keys.sealer(role).session_secret(SESSION, "tokens", NOW)
