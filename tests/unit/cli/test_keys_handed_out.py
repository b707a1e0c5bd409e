"""What `callgate keys hand-out` gives to whom."""

from pathlib import Path

import pytest

from callgate import keys
from callgate.errors import ConfigurationError
from contracts.identity import Role


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("role", Role)
def test_each_role_gets_the_public_files_and_its_own_keys_only(tmp_path: Path, role: Role) -> None:
    keys.init(tmp_path / "keys", "test")
    keys.hand_out(tmp_path / "keys", tmp_path / "out")
    given = _files(tmp_path / "out" / role)
    assert {"root.pub", "ring.json", f"{role}/sign.key", f"{role}/nats.password"} <= given
    assert {name.split("/")[0] for name in given} == {"root.pub", "ring.json", role.value}
    assert not any("root.key" in name for name in given)


def test_what_was_handed_out_is_enough_to_work_and_private(tmp_path: Path) -> None:
    keys.init(tmp_path / "keys", "test")
    keys.hand_out(tmp_path / "keys", tmp_path / "out")
    held = keys.load(tmp_path / "out" / "executor", Role.EXECUTOR)
    assert held.password == keys.read_password(tmp_path / "keys", Role.EXECUTOR)
    private = list((tmp_path / "out" / "executor" / "executor").iterdir())
    assert private
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)


def test_again_after_a_rotation_the_new_key_is_there_and_old_sealing_keys_stay(tmp_path: Path) -> None:
    keys.init(tmp_path / "keys", "test")
    keys.hand_out(tmp_path / "keys", tmp_path / "out")
    before = keys.load(tmp_path / "out" / "policy", Role.POLICY)
    keys.rotate(tmp_path / "keys", Role.POLICY)
    keys.hand_out(tmp_path / "keys", tmp_path / "out")
    after = keys.load(tmp_path / "out" / "policy", Role.POLICY)
    assert after.signer.key_id != before.signer.key_id
    assert before.seal.keys() < after.seal.keys()
    assert keys.read_ring(tmp_path / "out" / "audit").serial == 2


def test_without_keys_nothing_is_handed_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        keys.hand_out(tmp_path / "keys", tmp_path / "out")
    assert not (tmp_path / "out").exists()
