"""The keys folder: made once, rotated without losing the past, and refused when damaged or changed."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sealing_fakes import Keys

from callgate import keys
from callgate.errors import ConfigurationError, Fatal, Rejected, Retryable
from callgate.ids import uuid7
from callgate.keyring import CLOCK_SKEW, BadSignature, sign_ring
from callgate.sealing import Place, Sealer
from contracts.identity import Role
from contracts.subjects import CallRef, Partition

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
TYPE, BODY = "callgate.call.allowed.v1", b"{}"
SESSION = "s_" + "a" * 32


@pytest.fixture(autouse=True)
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every use, as if it were always some milliseconds later."""
    monkeypatch.setattr(keys, "_LOOK_EVERY", 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys.init(tmp_path / "keys", "unit", NOW)
    return tmp_path / "keys"


def test_init_makes_a_ring_that_verifies_and_keys_that_fit(folder: Path) -> None:
    ring = keys.read_ring(folder)
    assert (ring.deployment, ring.serial) == ("unit", 1)
    for role in Role:
        held = keys.load(folder, role)
        assert held.ring.verify(TYPE, BODY, held.signer.sign(TYPE, BODY), {role}).role == role
        assert bool(held.seal) == (role in keys.SEALED_TO)
        assert len(held.password) >= 32
    assert len({keys.read_password(folder, role) for role in Role}) == len(Role)


def test_secrets_are_for_their_owner_alone(folder: Path) -> None:
    for path in folder.rglob("*"):
        public = path.name in {"ring.json", "root.pub"}
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_file() and not public:
            assert mode == 0o600, path
        elif path.is_dir():
            assert mode == 0o700, path
    assert not list(folder.rglob(".*"))


def test_init_never_overwrites(folder: Path) -> None:
    before = (folder / "ring.json").read_text()
    with pytest.raises(ConfigurationError, match="rotate"):
        keys.init(folder, "unit", LATER)
    assert (folder / "ring.json").read_text() == before


def test_after_a_rotation_the_past_verifies_and_the_old_key_says_nothing_new(folder: Path) -> None:
    old = keys.load(folder, Role.POLICY)
    header = old.signer.sign(TYPE, BODY)
    keys.rotate(folder, Role.POLICY, LATER)
    fresh = keys.load(folder, Role.POLICY)
    assert fresh.signer.key_id != old.signer.key_id
    key = fresh.ring.verify(TYPE, BODY, header, {Role.POLICY})
    key.require_valid(NOW, NOW)
    long_after = LATER + timedelta(minutes=5)
    for times in ((long_after, long_after), (NOW, long_after)):
        with pytest.raises(BadSignature, match="key_not_valid"):
            key.require_valid(*times)
    fresh.ring.verify(TYPE, BODY, fresh.signer.sign(TYPE, BODY), {Role.POLICY}).require_valid(long_after, long_after)


def test_a_rotation_touches_no_other_role(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    keys.rotate(folder, Role.POLICY, LATER)
    changed = {path.relative_to(folder).parts[0] for path, text in before.items() if path.read_bytes() != text}
    assert changed == {"policy", "ring.json"}
    assert all(key.not_after is None for key in keys.read_ring(folder).keys if key.role != Role.POLICY)


async def test_sealed_payloads_open_after_a_rotation_of_their_reader(folder: Path) -> None:
    store = Keys()

    def sealer(role: Role) -> Sealer:
        held = keys.load(folder, role)
        return Sealer(role, held.ring, held.seal, store.session_keys.of(role), store.payloads)

    ref = CallRef(Partition(1, 0), SESSION, uuid7())
    place = Place(ref, uuid7(), "arguments")
    running = sealer(Role.INGRESS)
    old = await running.seal(b"before", place, "raw", NOW)
    keys.rotate(folder, Role.MASKING, LATER)
    masking = sealer(Role.MASKING)
    assert await masking.open(old, place, "raw") == b"before"
    # Who runs on seals to the new key from here on, without a restart.
    there = Place(ref._replace(session_id="s_" + "b" * 32), uuid7(), "arguments")
    new = await running.seal(b"after", there, "raw", LATER)
    assert await masking.open(new, there, "raw") == b"after"
    (wrap,) = store.session_keys.stored["s_" + "b" * 32, new.key_id][0].wraps
    in_force = [
        k.id for k in keys.read_ring(folder).keys if k.use == "seal" and k.role == "masking" and not k.not_after
    ]
    assert [wrap.reader_key_id] == in_force


def test_a_running_service_follows_the_file_and_reads_it_only_when_it_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, policy = keys.load(folder, Role.EXECUTOR), keys.load(folder, Role.POLICY)
    reads: list[Path] = []
    read_ring = keys.read_ring

    def counted(path: Path) -> object:
        reads.append(path)
        return read_ring(path)

    monkeypatch.setattr(keys, "read_ring", counted)
    for _ in range(100):  # a stranger's messages cost no reading
        with pytest.raises(BadSignature, match="unknown_key"):
            executor.ring.verify(TYPE, BODY, "policy-000000000000:" + "A" * 86 + "==", {Role.POLICY})
    assert reads == []
    keys.rotate(folder, Role.POLICY, LATER)
    reads.clear()
    fresh = keys.load(folder, Role.POLICY)
    reads.clear()
    assert executor.ring.verify(TYPE, BODY, fresh.signer.sign(TYPE, BODY), {Role.POLICY}).id == fresh.signer.key_id
    assert executor.ring.verify(TYPE, BODY, policy.signer.sign(TYPE, BODY), {Role.POLICY}).not_after == LATER
    assert len(reads) == 1


def test_a_rotation_is_followed_some_milliseconds_later_at_most(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(keys, "_LOOK_EVERY", 0.005)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    executor = keys.load(folder, Role.EXECUTOR)
    before = executor.ring.document.serial
    assert executor.ring.key("nobody") is None  # it has looked
    keys.rotate(folder, Role.POLICY, NOW)
    clock[0] += 0.0049
    assert executor.ring.key("nobody") is None
    assert executor.ring.document.serial == before
    clock[0] += 0.0002
    assert executor.ring.key("nobody") is None
    assert executor.ring.document.serial == before + 1


def test_a_running_service_takes_up_no_forged_rolled_back_or_missing_ring(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = (folder / "ring.json").read_text()
    keys.rotate(folder, Role.POLICY, LATER)
    executor = keys.load(folder, Role.EXECUTOR)
    in_force = executor.ring.document
    fresh = keys.load(folder, Role.POLICY)
    header = fresh.signer.sign(TYPE, BODY)
    forged = in_force.model_copy(update={"serial": 99})
    for text in (first, sign_ring(forged, Ed25519PrivateKey.generate()), "garbage", None):
        path = folder / "ring.json"
        path.unlink()
        if text is not None:
            path.write_text(text)
        assert executor.ring.verify(TYPE, BODY, header, {Role.POLICY}).id == fresh.signer.key_id
        assert executor.ring.document == in_force
    codes = [record.__dict__["code"] for record in caplog.records]
    assert codes == ["ring_forged", "ring_unreadable", "key_missing"]
    # And the true one again, once it is back.
    (folder / "ring.json").write_text(sign_ring(in_force, Ed25519PrivateKey.generate()))
    assert executor.ring.key(fresh.signer.key_id) is not None


def test_a_forged_ring_stops_a_start(folder: Path) -> None:
    ring = keys.read_ring(folder)
    (folder / "ring.json").write_text(sign_ring(ring, Ed25519PrivateKey.generate()))
    with pytest.raises(Fatal, match="ring_forged"):
        keys.load(folder, Role.POLICY)


def test_the_root_may_be_away_but_not_to_rotate(folder: Path) -> None:
    (folder / "root" / "root.key").rename(folder / "root.key.offline")
    keys.load(folder, Role.POLICY)
    with pytest.raises(ConfigurationError, match="offline root"):
        keys.rotate(folder, Role.POLICY, LATER)
    assert keys.read_ring(folder).serial == 1


def test_another_root_signs_no_ring_here(folder: Path, tmp_path: Path) -> None:
    keys.init(tmp_path / "other", "unit", NOW)
    os.replace(tmp_path / "other" / "root" / "root.key", folder / "root" / "root.key")  # noqa: PTH105
    keys.rotate(folder, Role.POLICY, LATER)
    with pytest.raises(Fatal, match="ring_forged"):
        keys.read_ring(folder)


def test_the_ring_shows_no_secret(folder: Path) -> None:
    text = json.dumps(keys.read_ring(folder).model_dump(mode="json"))
    for role in Role:
        assert keys.read_password(folder, role) not in text
    assert "PRIVATE" not in text


def test_a_running_service_signs_with_its_new_key_as_soon_as_the_ring_knows_it(folder: Path) -> None:
    policy = keys.load(folder, Role.POLICY)
    same, key = policy.ring.signing(policy.signer, NOW)
    assert (same, key.id) == (policy.signer, policy.signer.key_id)
    keys.rotate(folder, Role.POLICY, LATER)
    fresh, key = policy.ring.signing(policy.signer, LATER)
    assert fresh.key_id == key.id == keys.load(folder, Role.POLICY).signer.key_id != policy.signer.key_id
    header = fresh.sign(TYPE, BODY)
    policy.ring.verify(TYPE, BODY, header, {Role.POLICY}).require_valid(LATER, LATER)


@pytest.mark.parametrize("text", ["old", "garbage", None])
def test_a_service_whose_key_was_retired_and_has_no_new_one_signs_nothing(folder: Path, text: str | None) -> None:
    path = folder / "policy" / "sign.key"
    old = path.read_bytes()
    policy = keys.load(folder, Role.POLICY)
    keys.rotate(folder, Role.POLICY, LATER)
    path.unlink()
    if text is not None:
        path.write_bytes(old if text == "old" else text.encode())
    just_before = LATER - timedelta(seconds=1)
    assert policy.ring.signing(policy.signer, just_before)[0].key_id == policy.signer.key_id
    with pytest.raises(Fatal, match="key_retired"):  # at once: the skew is for readers
        policy.ring.signing(policy.signer, LATER)


def test_a_rotation_dated_ahead_of_our_clock_lets_the_old_key_sign_until_then(folder: Path) -> None:
    """The operator's clock is not ours; one of the two keys always counts."""
    policy = keys.load(folder, Role.POLICY)
    ahead = LATER + CLOCK_SKEW * 2
    keys.rotate(folder, Role.POLICY, ahead)
    assert policy.ring.signing(policy.signer, LATER)[0] is policy.signer
    fresh, key = policy.ring.signing(policy.signer, ahead)
    key.require_valid(ahead)
    assert fresh is not policy.signer


def test_what_was_decided_before_a_rotation_verifies_when_it_is_signed_after_it(folder: Path) -> None:
    policy = keys.load(folder, Role.POLICY)
    keys.rotate(folder, Role.POLICY, LATER)
    _, key = policy.ring.signing(policy.signer, LATER)
    long_before = LATER - timedelta(minutes=5)
    with pytest.raises(BadSignature, match="key_not_valid"):
        key.require_valid(long_before, LATER)
    key.require_valid(key.stamped(long_before), LATER)
    assert key.stamped(LATER) == LATER


def test_an_acknowledgement_under_a_key_that_was_retired_meanwhile_does_not_count(folder: Path) -> None:
    policy = keys.load(folder, Role.POLICY)
    long_after = LATER + timedelta(minutes=5)
    policy.ring.require_standing(policy.signer.key_id, long_after, long_after)
    keys.rotate(folder, Role.POLICY, LATER)
    with pytest.raises(Fatal, match="key_retired"):
        policy.ring.require_standing(policy.signer.key_id, long_after, long_after)
    with pytest.raises(Fatal, match="key_retired"):
        policy.ring.require_standing("policy-000000000000", LATER, LATER)


async def test_a_running_reader_opens_what_is_sealed_to_its_new_key_once_it_has_that(folder: Path) -> None:
    store, secret = Keys(), b"4111111111111111"
    held = keys.load(folder, Role.MASKING)
    reload = partial(keys.sealing_keys, folder, Role.MASKING)
    masking = Sealer(Role.MASKING, held.ring, held.seal, store.session_keys.of(Role.MASKING), store.payloads, reload)
    executor = keys.load(folder, Role.EXECUTOR)
    sender = Sealer(Role.EXECUTOR, executor.ring, executor.seal, store.session_keys.of(Role.EXECUTOR), store.payloads)
    old_ring = (folder / "ring.json").read_bytes()
    keys.rotate(folder, Role.MASKING, LATER)
    new_ring = (folder / "ring.json").read_bytes()
    place = Place(CallRef(Partition(1, 0), SESSION, uuid7()), uuid7(), "result")
    sealed = await sender.seal(secret, place, "raw", LATER)
    (new,) = set(keys.sealing_keys(folder, Role.MASKING)) - set(held.seal)
    path = folder / "masking" / f"seal-{new}.key"
    path.rename(folder / "on its way")
    for ring in (old_ring, new_ring):  # neither arrived; the ring did
        (folder / "ring.json").write_bytes(ring)
        with pytest.raises(Retryable, match="sealing_key_away"):
            await masking.open(sealed, place, "raw")
    (folder / "on its way").rename(path)
    assert await masking.open(sealed, place, "raw") == secret
    with pytest.raises(Rejected, match="not_a_reader"):
        await sender.open(sealed, place, "raw")


async def test_what_is_sealed_to_others_alone_is_rejected_by_a_reader_too(folder: Path) -> None:
    store = Keys()
    held, other = keys.load(folder, Role.MASKING), keys.load(folder, Role.POLICY)
    masking = Sealer(Role.MASKING, held.ring, held.seal, store.session_keys.of(Role.MASKING), store.payloads)
    place = Place(CallRef(Partition(1, 0), SESSION, uuid7()), uuid7(), "arguments")
    sealed = await masking.seal(b"{}", place, "raw", NOW)
    ((at, (record, role)),) = store.session_keys.stored.items()
    only = tuple(wrap for wrap in record.wraps if wrap.reader_key_id in other.seal)
    store.session_keys.stored[at] = (record.model_copy(update={"wraps": only}), role)
    fresh = Sealer(Role.MASKING, held.ring, held.seal, store.session_keys.of(Role.MASKING), store.payloads)
    with pytest.raises(Rejected, match="not_a_reader"):
        await fresh.open(sealed, place, "raw")


def test_with_a_lead_the_old_keys_end_later_and_the_new_ones_count_at_once(folder: Path) -> None:
    old = keys.load(folder, Role.POLICY)
    keys.rotate(folder, Role.POLICY, LATER, lead=timedelta(minutes=10))
    fresh = keys.load(folder, Role.POLICY)
    soon, after = LATER + timedelta(minutes=9), LATER + timedelta(minutes=11)
    ring = fresh.ring
    ring.verify(TYPE, BODY, old.signer.sign(TYPE, BODY), {Role.POLICY}).require_valid(soon, soon)
    ring.verify(TYPE, BODY, fresh.signer.sign(TYPE, BODY), {Role.POLICY}).require_valid(soon, after)
    with pytest.raises(BadSignature, match="key_not_valid"):
        ring.verify(TYPE, BODY, old.signer.sign(TYPE, BODY), {Role.POLICY}).require_valid(after, after)
    assert len({key_id for key_id, _ in ring.readers({Role.POLICY}, soon)}) == 2
    assert len({key_id for key_id, _ in ring.readers({Role.POLICY}, after)}) == 1
