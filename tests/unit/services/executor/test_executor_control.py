"""Freezes and grants at the last look before a call runs."""

from datetime import timedelta
from typing import Any

import pytest
from executor_scene import CATALOG, GRANTED, OK, Scene
from memory_freezes import EVERYTHING
from memory_log import AGENT, NOW, RITA, Calls

from callgate.cedar.grants import grant_text
from callgate.errors import BrokerAway
from contracts.events import (
    Allowed,
    ExecutionFailed,
    GrantUse,
    OutcomeUnknown,
    Recorded,
    Sealed,
)
from contracts.records import Granted, GrantRevoked, GrantUsed
from contracts.subjects import grant_revoked_subject, grant_subject, grant_use_subject
from services.executor.outcomes import Unknown

# Freezes


async def test_a_frozen_call_fails_before_it_starts(scene: Scene) -> None:
    scene.freezes.arriving = [EVERYTHING]
    allowed = scene.allowed()
    assert await scene.deliver(allowed) is None
    assert scene.after_allowed(allowed) == ["execution_failed"]
    assert scene.last(allowed) == ExecutionFailed(code="frozen", freeze="f1")
    assert scene.runner.sent == []


async def test_a_freeze_between_the_look_and_the_start_wins_too(scene: Scene) -> None:
    scene.freezes.arriving = [None, EVERYTHING]
    allowed = scene.allowed()
    await scene.deliver(allowed)
    assert scene.after_allowed(allowed) == ["execution_started", "execution_failed"]
    assert scene.last(allowed) == ExecutionFailed(code="frozen", freeze="f1")
    assert scene.runner.sent == []


async def test_the_last_look_comes_after_the_start_is_on_disk(scene: Scene) -> None:
    scene.freezes.journal = scene.log.journal
    allowed = scene.allowed()
    scene.log.journal.clear()
    await scene.deliver(allowed)
    assert scene.log.journal == ["freezes", "execution_started", "freezes", "send", "execution_completed"]


@pytest.mark.parametrize("looks", [0, 1])
async def test_nothing_is_sent_while_nobody_knows_whether_it_is_frozen(scene: Scene, looks: int) -> None:
    scene.freezes.arriving = [*[None] * looks, BrokerAway()]
    allowed = scene.allowed()
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    assert scene.runner.sent == []
    assert await scene.deliver(allowed, 2) is None
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]
    assert len(scene.runner.sent) == 1


async def test_a_start_that_is_resumed_is_looked_at_again(scene: Scene) -> None:
    scene.freezes.arriving = [None, BrokerAway(), EVERYTHING]
    allowed = scene.allowed()
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    await scene.deliver(allowed, 2)
    assert scene.after_allowed(allowed) == ["execution_started", "execution_failed"]
    assert scene.runner.sent == []


async def test_a_freeze_before_a_repetition_leaves_the_outcome_unknown(scene: Scene) -> None:
    scene.runner.outcomes = [Unknown("timeout"), OK]
    scene.freezes.arriving = [None, None, EVERYTHING]
    allowed = scene.allowed("shop.look")
    await scene.deliver(allowed)
    assert scene.last(allowed) == OutcomeUnknown(code="frozen", freeze="f1")
    assert len(scene.runner.sent) == 1


# Grants


def by_grant(scene: Scene, **changed: Any) -> Recorded:
    """A call that a grant allowed, its records on CONTROL as policy and approval left them, but for what `changed`."""
    masked = Calls(scene.log, scene.sealer).masked()
    ref, digest = masked.ref, CATALOG.digest_of("shop.pay")
    function = CATALOG.get("shop.pay")
    assert function is not None
    given: dict[str, Any] = {
        "grant_id": "g1",
        "by": RITA,
        "agent": AGENT.id,
        "issuer": AGENT.issuer,
        "on_behalf_of": None,
        "session_id": None,
        "function": "shop.pay",
        "conditions": {"amount": {"lte": 100}},
        "policy": "",
        "uses": 3,
        "expires_at": NOW + timedelta(minutes=30),
        "reason": Sealed(key_id="k", nonce="n", ciphertext="c"),
    }
    grant = Granted.model_validate(given | {k: v for k, v in changed.items() if k in given})
    text = changed.get("text") or grant_text(grant, function)
    scene.control.put(grant_subject("g1"), grant.model_copy(update={"policy": text}), 10)
    use = {"grant_id": "g1", "call": str(ref), "number": 3} | changed.get("use", {})
    scene.control.put(grant_use_subject("g1", ref.call_id), GrantUsed.model_validate(use), 20, changed.get("at", NOW))
    if "revoked" in changed:
        revoked = GrantRevoked(grant_id="g1", by=RITA)
        scene.control.put(grant_revoked_subject("g1"), revoked, changed["revoked"])
    names = {"grant_id": "g1", "granted": GRANTED, "number": 3} | changed.get("names", {})
    grant_use = GrantUse.model_validate(names)
    return scene.log.put(ref, Allowed(policy_set="a" * 64, function_digest=digest, grant=grant_use))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"revoked": 30},
        {"conditions": {}},
        {"agent": "bot", "on_behalf_of": None},
    ],
)
async def test_a_call_on_a_good_grant_runs(scene: Scene, changed: dict[str, Any]) -> None:
    allowed = by_grant(scene, **changed)
    await scene.deliver(allowed)
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]


@pytest.mark.parametrize(
    "changed",
    [
        {"revoked": 15},
        {"by": AGENT},
        {"agent": "another"},
        {"issuer": "https://elsewhere.test"},
        {"on_behalf_of": "rosa"},
        {"session_id": "s_" + "a" * 32},
        {"function": "shop.look"},
        {"uses": 2},
        {"expires_at": NOW},
        {"at": NOW + timedelta(minutes=30)},
        {"use": {"number": 2}},
        {"use": {"call": "1-0.s_x.y"}},
        {"use": {"grant_id": "g2"}},
        {"names": {"granted": "d" * 64}},
        {"names": {"grant_id": "g2"}},
        {"text": "permit (principal, action, resource);"},
    ],
)
async def test_a_call_on_any_other_grant_fails_before_it_starts(scene: Scene, changed: dict[str, Any]) -> None:
    allowed = by_grant(scene, **changed)
    await scene.deliver(allowed)
    assert scene.last(allowed) == ExecutionFailed(code="grant_invalid")
    assert scene.runner.sent == []


@pytest.mark.parametrize("missing", ["made", "used"])
async def test_a_grant_that_nobody_recorded_allows_nothing(scene: Scene, missing: str) -> None:
    allowed = by_grant(scene)
    scene.control.stands = {place: one for place, one in scene.control.stands.items() if missing not in place}
    await scene.deliver(allowed)
    assert scene.last(allowed) == ExecutionFailed(code="grant_invalid")
