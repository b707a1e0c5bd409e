"""What a service starts with: keys that are damaged, missing or of another run stop it, and say what to do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from callgate import keys
from callgate.errors import ConfigurationError, Fatal
from callgate.keyring import sign_ring
from contracts.identity import Role

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keys.init(tmp_path / "keys", "unit", NOW)
    return tmp_path / "keys"


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("policy/sign.key", None, "key_missing"),
        ("policy/sign.key", "garbage", "key_unreadable"),
        ("policy/nats.password", None, "key_missing"),
        ("root.pub", "garbage", "root_unreadable"),
        ("root.pub", None, "key_missing"),
        ("ring.json", None, "key_missing"),
        ("ring.json", "{}", "ring_unreadable"),
        ("ring.json", b"\xff\xfe", "ring_unreadable"),
    ],
)
def test_what_is_missing_or_damaged_is_named(folder: Path, name: str, text: str | bytes | None, code: str) -> None:
    path = folder / name
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((ConfigurationError, Fatal)) as error:
        keys.load(folder, Role.POLICY)
    assert error.value.code == code


def test_a_key_of_another_run_or_kind_is_refused(folder: Path, tmp_path: Path) -> None:
    keys.init(tmp_path / "other", "unit", NOW)
    (folder / "policy" / "sign.key").write_bytes((tmp_path / "other" / "policy" / "sign.key").read_bytes())
    with pytest.raises(ConfigurationError, match="is not in ring"):
        keys.load(folder, Role.POLICY)
    seal = next((folder / "masking").glob("seal-*.key"))
    (folder / "masking" / "sign.key").write_bytes(seal.read_bytes())
    with pytest.raises(ConfigurationError, match="Ed25519"):
        keys.load(folder, Role.MASKING)


@pytest.mark.parametrize("role", sorted(keys.SEALED_TO))
def test_a_service_does_not_start_without_the_sealing_key_that_others_seal_to(folder: Path, role: Role) -> None:
    former = next((folder / role).glob("seal-*.key"))
    keys.rotate(folder, role, LATER)
    (current,) = set((folder / role).glob("seal-*.key")) - {former}
    good = current.read_bytes()
    current.write_bytes(former.read_bytes())
    with pytest.raises(ConfigurationError, match="key_not_in_ring") as caught:
        keys.load(folder, role)
    assert str(current) in caught.value.detail
    current.write_text("")
    with pytest.raises(ConfigurationError, match="key_unreadable"):
        keys.load(folder, role)
    current.unlink()
    with pytest.raises(ConfigurationError, match="key_missing") as caught:
        keys.load(folder, role)
    assert str(current) in caught.value.detail
    current.write_bytes(good)
    former.unlink()  # erased on purpose: what was sealed to it is lost, and the service goes on
    assert list(keys.load(folder, role).seal) == [current.stem.removeprefix("seal-")]


def test_a_service_does_not_start_where_nobody_could_seal_to_it(folder: Path) -> None:
    ring = keys.read_ring(folder)
    kept = tuple(key for key in ring.keys if (key.role, key.use) != (Role.APPROVAL, "seal"))
    root = load_pem_private_key((folder / "root" / "root.key").read_bytes(), password=None)
    assert isinstance(root, Ed25519PrivateKey)
    (folder / "ring.json").write_text(sign_ring(ring.model_copy(update={"keys": kept}), root))
    with pytest.raises(ConfigurationError, match="keys rotate approval"):
        keys.load(folder, Role.APPROVAL)
    assert keys.load(folder, Role.INGRESS).seal


def test_a_retired_signing_key_starts_no_service(folder: Path) -> None:
    old = (folder / "policy" / "sign.key").read_bytes()
    keys.rotate(folder, Role.POLICY, LATER)
    (folder / "policy" / "sign.key").write_bytes(old)
    with pytest.raises(ConfigurationError, match="is not in ring"):
        keys.load(folder, Role.POLICY)
