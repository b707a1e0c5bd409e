"""Bound tokens at two replicas of ingress: a proof counts once, and where it is demanded a bearer token will not do."""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from identity_certificates import HOLDER, JWK, RFC9440, THUMBPRINT
from identity_fakes import claims, raw_token, token
from identity_scene import PUBLIC_URL, Door, door_of

from callgate.identity.proofs import thumbprint_of, token_hash
from contracts.events import Recorded, Requested
from services.ingress.app import build


def fresh(**more: Any) -> str:
    now = int(time.time())
    return token(claims(iat=now, exp=now + 600, **more))


def proof(access: str, **more: Any) -> str:
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": JWK}
    body = {
        "jti": str(uuid.uuid4()),
        "htm": "POST",
        "htu": f"{PUBLIC_URL}/v1/calls",
        "iat": int(time.time()),
        "ath": token_hash(access),
        **more,
    }
    return raw_token(json.dumps(header), json.dumps(body), HOLDER)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with door_of(tmp_path, build, replicas=2) as running:
        yield running


async def test_of_the_same_proof_sent_at_once_to_two_replicas_one_counts(door: Door) -> None:
    access = fresh(cnf={"jkt": thumbprint_of(JWK)})
    headers = {"Authorization": f"DPoP {access}", "DPoP": proof(access)}
    answers = await asyncio.gather(*(door.ask(headers, replica=number % 2) for number in range(10)))
    assert Counter(status for status, _, _ in answers) == {202: 1, 401: 9}
    assert {problem["code"] for status, problem, _ in answers if status == 401} == {"proof_replayed"}
    assert await door.recorded() == 1
    again = {**headers, "DPoP": proof(access)}
    assert (await door.ask(again, replica=1))[0] == 202


async def test_who_proved_a_key_stands_on_the_event(door: Door) -> None:
    access = fresh(cnf={"jkt": thumbprint_of(JWK)})
    status, _, _ = await door.ask({"Authorization": f"DPoP {access}", "DPoP": proof(access)}, "vault.look")
    assert status == 202
    async for recorded in door.audit.log.follow(door.audit.partitions[0]):
        assert isinstance(recorded, Recorded)
        assert isinstance(recorded.data, Requested)
        assert recorded.data.principal.bound_by == "dpop"
        break


async def test_a_connection_can_demand_it(door: Door) -> None:
    bearer = {"Authorization": f"Bearer {fresh()}"}
    assert (await door.ask(bearer))[0] == 202
    status, problem, headers = await door.ask(bearer, "vault.look")
    assert (status, problem["code"]) == (401, "not_bound")
    assert headers["WWW-Authenticate"].startswith("DPoP ")
    assert await door.recorded() == 1


async def test_a_host_header_does_not_move_the_url_that_a_proof_is_for(door: Door) -> None:
    access = fresh(cnf={"jkt": thumbprint_of(JWK)})
    elsewhere = proof(access, htu="https://evil.example/v1/calls")
    headers = {"Authorization": f"DPoP {access}", "DPoP": elsewhere, "Host": "evil.example"}
    status, problem, _ = await door.ask(headers)
    assert (status, problem["code"]) == (401, "invalid_proof")


async def test_a_terminator_is_believed_by_the_address_it_connects_from_whatever_headers_say(tmp_path: Path) -> None:
    bearer = {"Authorization": f"Bearer {fresh(cnf={'x5t#S256': THUMBPRINT})}", "Client-Cert": RFC9440}
    for network, forwarded, expected in (
        ("127.0.0.1/32", "198.51.100.7", 202),
        ("127.0.0.1/32", None, 202),
        ("198.51.100.7/32", "198.51.100.7", 401),
    ):
        folder = tmp_path / f"{network[:3]}-{forwarded}"
        folder.mkdir()
        headers = bearer | ({"X-Forwarded-For": forwarded} if forwarded else {})
        async with door_of(folder, build, client_certificate={"proxies": [network]}) as running:
            assert (await running.ask(headers, "vault.look"))[0] == expected
            assert (await running.ask({"Authorization": bearer["Authorization"]}))[0] == 401
