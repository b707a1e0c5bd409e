"""Wycheproof's published vectors, where a checkout of C2SP/wycheproof is named; their classes, made with keys of our
own, are in `identity_signatures` and `test_identity_key_sets`, and run everywhere."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from identity_fakes import JWKS, Clock, FakeIssuer, settings

from callgate.identity.authenticator import signed_payload
from callgate.identity.errors import Unauthenticated
from callgate.identity.keys import IssuerKeys
from callgate.identity.settings import ALGORITHMS
from callgate.identity.token import credentials, read_header

FOLDER = os.environ.get("CALLGATE_TEST_WYCHEPROOF")

pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="set CALLGATE_TEST_WYCHEPROOF to the folder testvectors_v1 of a checkout of C2SP/wycheproof"
)


class Vector(NamedTuple):
    name: str
    keys: list[dict[str, Any]]
    jws: str
    result: str

    @property
    def ours_to_take(self) -> bool:
        """Valid, and nothing that we refuse on purpose: a shared secret, an algorithm that is not the key's own, or a
        token that says nothing."""
        if self.result != "valid":
            return False
        header, payload, _ = self.jws.split(".")
        named = json.loads(base64.urlsafe_b64decode(header.replace("?", "") + "==="))
        (key,) = (key for key in self.keys if key["kid"] == named["kid"])
        return named["alg"] in ALGORITHMS and key.get("alg") in (None, named["alg"]) and payload != ""


def published(name: str) -> Iterator[Vector]:
    document = json.loads((Path(FOLDER or "") / name).read_text())
    count = 0
    for group in document["testGroups"]:
        key = group.get("public") or group["private"]
        for test in group["tests"]:
            count += 1
            yield Vector(f"{test['tcId']} {test['comment']}", key.get("keys", [key]), test["jws"], test["result"])
    assert count == document["numberOfTests"]


async def taken(vector: Vector) -> bool:
    """Whether it passes all that is asked of a token before its claims are looked at."""
    issuer = FakeIssuer(*vector.keys)
    keys = IssuerKeys(settings(algorithms=tuple(sorted(ALGORITHMS))), clock=Clock(), http=issuer)
    try:
        sent = credentials(f"Bearer {vector.jws}")
        header = read_header(sent.token)
        _, candidates = await keys.find(header)
        signed_payload(sent.token, candidates)
    except Unauthenticated:
        return False
    finally:
        await keys.aclose()
        assert set(issuer.requests) <= {JWKS}, "a token chose where keys come from"
    return True


@pytest.mark.parametrize("name", ["json_web_signature_test.json", "json_web_key_test.json"])
async def test_what_is_published_as_invalid_is_refused_and_what_is_valid_is_taken(name: str) -> None:
    vectors = list(published(name))
    wrong = [one.name for one in vectors if await taken(one) is not one.ours_to_take]
    assert wrong == []
    assert any(one.ours_to_take for one in vectors)
