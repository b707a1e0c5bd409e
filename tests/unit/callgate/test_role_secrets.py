"""Secrets that the replicas of a role derive alike from its sealing keys, through a rotation."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sealing_fakes import NOW, Keys, public

from callgate.errors import ConfigurationError, Retryable
from callgate.keyring import Ring, RingKey
from callgate.sealing import Sealer
from contracts.identity import Role


@pytest.fixture
def keys() -> Keys:
    return Keys()


def test_a_roles_secret_is_its_own_and_ends_with_its_key(keys: Keys) -> None:
    approval = keys.sealer(Role.APPROVAL)
    (secret,) = approval.role_secrets("cookies", NOW).values()
    assert list(keys.sealer(Role.APPROVAL).role_secrets("cookies", NOW).values()) == [secret], "in every replica"
    assert list(approval.role_secrets("other", NOW).values()) != [secret]
    assert list(keys.sealer(Role.AUDIT).role_secrets("cookies", NOW).values()) != [secret]

    private = X25519PrivateKey.generate()
    former = keys.document
    retired = tuple(
        key.model_copy(update={"not_after": NOW + timedelta(minutes=5)}) if key.id == "approval-seal" else key
        for key in former.keys
    )
    fresh = RingKey(id="approval-new", role=Role.APPROVAL, use="seal", public=public(private), not_before=NOW)
    ring = Ring(former.model_copy(update={"keys": (*retired, fresh)}))
    held = {"approval-seal": keys.seal[Role.APPROVAL]}
    store = keys.session_keys.of(Role.APPROVAL)
    rotated = Sealer(Role.APPROVAL, ring, held, store, keys.payloads, lambda: {"approval-new": private})
    both = rotated.role_secrets("cookies", NOW)
    assert list(both) == ["approval-new", "approval-seal"], "the newest first, fetched where it came with a rotation"
    assert both["approval-seal"] == secret
    assert list(rotated.role_secrets("cookies", NOW + timedelta(minutes=5))) == ["approval-new"]
    behind = Sealer(Role.APPROVAL, ring, held, store, keys.payloads)
    assert list(behind.role_secrets("cookies", NOW)) == ["approval-seal"]
    nowhere = Sealer(Role.APPROVAL, ring, held, store, keys.payloads)
    with pytest.raises(Retryable, match="sealing_key_away"):  # and never none, with which nothing can be done
        nowhere.role_secrets("cookies", NOW + timedelta(minutes=5))


def test_new_sealing_keys_that_cannot_be_read_leave_those_in_hand(keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    def damaged() -> dict[str, X25519PrivateKey]:
        raise ConfigurationError("key_unreadable", "approval/seal-x.key is no private key")

    fresh = RingKey(
        id="approval-new",
        role=Role.APPROVAL,
        use="seal",
        public=public(X25519PrivateKey.generate()),
        not_before=NOW,
    )
    ring = Ring(keys.document.model_copy(update={"keys": (*keys.document.keys, fresh)}))
    store = keys.session_keys.of(Role.APPROVAL)
    held = {"approval-seal": keys.seal[Role.APPROVAL]}
    sealer = Sealer(Role.APPROVAL, ring, held, store, keys.payloads, damaged)
    assert list(sealer.role_secrets("cookies", NOW)) == ["approval-seal"]
    assert caplog.messages == ["the service's new sealing key cannot be read"]
