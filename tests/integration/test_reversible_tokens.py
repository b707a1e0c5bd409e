"""An agent passes a card on that it never saw: through every service, two replicas of masking, on a real broker."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from governed_scene import LOOK_ROUTE, Governed, governed

from callgate import keys
from callgate.records import Standing
from callgate.sealing import Place
from callgate.telemetry import JsonFormatter
from cli.broker_client import connect
from cli.demo.scan import scan
from contracts.events import ArgumentsMasked
from contracts.identity import Role
from contracts.subjects import SESSION_KEYS, CallRef, session_key_subject
from examples.upstream_api import customer

ECHO_ROUTE = "POST /echo"
CARD: str = customer(42)["card_number"]
STRATEGIES = {"strategies": {"entities": {"CREDIT_CARD": "token", "US_SSN": "hash"}}}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, replicas={Role.MASKING: 2}, masking=STRATEGIES) as running:
        yield running


async def call(scene: Governed, function: str, session: str = "one", **arguments: Any) -> Any:
    body = {"function": function, "arguments": arguments, "session": session}
    status, document = await scene.request("POST", "/v1/calls", json=body, headers={"Prefer": "wait=20"})
    assert status == 200, document
    return document


async def look(scene: Governed, session: str = "one") -> str:
    """The token of customer 42's card."""
    answer = await call(scene, "shop.look", session, id="c42")
    token = answer["result"]["body"]["card_number"]
    assert isinstance(token, str)
    assert token.startswith("tok_card_")
    return token


def charged(scene: Governed) -> Any:
    return json.loads(scene.ledger.last[ECHO_ROUTE]["body"])


async def denied(scene: Governed, session: str = "one", **arguments: Any) -> tuple[str, str]:
    """The code and the words of a charge that is denied before the upstream hears of it."""
    answer = await call(scene, "shop.charge", session, **arguments)
    assert answer["status"] == "denied"
    assert ECHO_ROUTE not in scene.ledger.arrived
    return answer["code"], answer["detail"]


async def view_of(scene: Governed, call_id: str) -> Any:
    """What a reviewer would see of the arguments, and their findings."""
    chain = await scene.chain(call_id)
    recorded = chain.last_recorded(ArgumentsMasked)
    assert recorded is not None
    masked = recorded.data
    assert isinstance(masked, ArgumentsMasked)
    assert masked.view is not None
    place = Place(recorded.ref, recorded.event.event_id, "view")
    view = json.loads(await scene.audit.sealer.open(masked.view, place, "view"))
    return view, [(finding.path, finding.entity) for finding in masked.findings]


async def test_a_card_is_passed_on_without_being_seen(scene: Governed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = await look(scene)
    answers = []
    for _ in range(4):  # whichever replica gets it
        assert await look(scene) == token
        answer = await call(scene, "shop.charge", card_number=token, note=f"not {token} in a text")
        assert charged(scene) == {"card_number": CARD, "note": f"not {token} in a text"}
        assert answer["result"]["body"] == {"card_number": token, "note": "[PERSON]"}
        view, findings = await view_of(scene, answer["id"])
        assert view == {"card_number": token, "note": f"not {token} in a text"}
        assert findings == [("/card_number", "CREDIT_CARD")]
        answers.append(answer)
    formatted = "\n".join(JsonFormatter("test").format(record) for record in caplog.records)
    assert CARD not in json.dumps(answers) + formatted + await scene.metrics()
    found = scan(scene.folder / "broker", {"card": CARD})
    assert found.files > 0
    assert found.hits == []


async def test_a_number_comes_back_as_a_number(scene: Governed) -> None:
    first = await call(scene, "shop.charge", account=int(CARD))
    token = first["result"]["body"]["account"]
    assert charged(scene) == {"account": int(CARD)}
    again = await call(scene, "shop.charge", account=token)
    assert charged(scene) == {"account": int(CARD)}
    assert again["result"]["body"] == {"account": token}
    text = await look(scene)
    refused = await call(scene, "shop.charge", account=text)
    assert (refused["status"], refused["code"]) == ("denied", "input_invalid"), "a text stays one"


async def test_a_hash_is_the_same_in_every_replica_and_in_no_other_session(scene: Governed) -> None:
    shown = {(await call(scene, "shop.look", id="c42"))["result"]["body"]["ssn"] for _ in range(6)}
    assert len(shown) == 1
    other = (await call(scene, "shop.look", "two", id="c42"))["result"]["body"]["ssn"]
    assert other not in shown
    assert other.startswith("[US_SSN#")


async def test_a_token_cannot_be_moved_into_another_parameter(scene: Governed) -> None:
    token = await look(scene)
    code, words = await denied(scene, webhook_url=token)
    assert code == "token_not_allowed"
    assert "this parameter does not accept" in words
    assert "`/webhook_url`" in words


async def test_a_token_is_worth_nothing_in_another_session_or_damaged(scene: Governed) -> None:
    token = await look(scene)
    assert (await denied(scene, "two", card_number=token))[0] == "token_invalid"
    await look(scene, "two")
    assert (await denied(scene, "two", card_number=token))[0] == "token_invalid"
    for damaged in (token[:-1], token[:-2], token[:40], token.replace("tok_card_", "tok_us_ssn_")):
        code, words = await denied(scene, card_number=damaged)
        assert code == "token_invalid"
        assert "give it back as you got it" in words


async def erase(scene: Governed, session_id: str, *roles: Role) -> None:
    """The secure delete of the session's data keys that these roles made."""
    settings, subject = scene.here.settings, session_key_subject(session_id, "*")
    held = keys.load(settings.keys_folder, Role.PROVISIONER)
    assert settings.broker.url is not None
    standing = [key async for key in scene.audit.records.all(SESSION_KEYS, subject) if isinstance(key, Standing)]
    assert any(key.role in roles for key in standing)
    provisioner = await connect(settings, settings.broker.url, Role.PROVISIONER, held.password)
    try:
        for key in standing:
            if key.role in roles:
                assert await provisioner.jetstream().delete_msg(SESSION_KEYS, key.sequence)
    finally:
        await provisioner.close()


async def test_with_the_sessions_keys_its_tokens_are_gone(scene: Governed) -> None:
    """At once, though every process still remembers the keys that it used."""
    answer = await call(scene, "shop.look", id="c42")
    token, session_id = answer["result"]["body"]["card_number"], CallRef.parse(answer["id"]).session_id
    await erase(scene, session_id, Role.MASKING)
    for _ in range(4):
        assert (await denied(scene, card_number=token))[0] == "token_invalid"
    await erase(scene, session_id, Role.INGRESS, Role.MASKING, Role.EXECUTOR)
    # A replica that does not remember ingress's key cannot even read what is asked.
    assert (await denied(scene, card_number=token))[0] in ("token_invalid", "uninspectable")
    assert scene.ledger.arrived == {LOOK_ROUTE: 1}
