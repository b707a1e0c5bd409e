"""Every attack on tokens against a real ingress: refused with a reason in the log, and nothing of it on the stream."""

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from identity_attacks import ATTACKS
from identity_fakes import NOW, token
from identity_scene import door_of
from identity_signatures import signatures

from callgate.platform import Platform
from callgate.service import Service
from services.ingress import app as ingress


async def _at_that_time(platform: Platform) -> Service:
    """Ingress in the year of the tokens."""
    return await ingress.build(replace(platform, clock=lambda: datetime.fromtimestamp(NOW, UTC)))


async def test_every_attack_is_a_401_with_a_reason_in_the_log_and_nothing_on_the_stream(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = {name: make() for name, (make, _) in ATTACKS.items()} | dict(signatures())
    assert len(tokens) > 220
    async with door_of(tmp_path, _at_that_time) as door:
        good = {"Authorization": f"Bearer {token()}"}
        async with door.http.get(f"{door.urls[0]}/v1/functions", headers=good) as response:
            assert response.status == 200, "the door opens to who is somebody"
        for name, sent in tokens.items():
            caplog.clear()
            with caplog.at_level(logging.INFO):
                status, problem, headers = await door.ask({"Authorization": f"Bearer {sent}"})
            assert status == 401, name
            if name in ATTACKS:
                assert problem["code"] == ATTACKS[name][1].value, name
            reasons = [one.__dict__["code"] for one in caplog.records if one.message == "a request identifies nobody"]
            assert reasons == [problem["code"]], name
            scheme = headers["WWW-Authenticate"].split()[0]
            assert scheme == ("DPoP" if problem["code"] == "proof_required" else "Bearer"), name
            told = json.dumps(problem) + caplog.text
            assert not any(part in told for part in sent.split(".") if len(part) > 12), name
        assert await door.recorded() == 0
