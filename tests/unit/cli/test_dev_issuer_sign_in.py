"""Signing in at the development issuer: who is sent where with which code, and what a code is good for."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from cli.dev_issuer import CLIENT_ID, DEMO_PEOPLE, DevIssuer, DevKeys, dev_issuer_app

URL = "http://127.0.0.1:8099"
BACK = "http://127.0.0.1:8080/approvals/sign-in/development/callback"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {
    "response_type": "code",
    "client_id": CLIENT_ID,
    "redirect_uri": BACK,
    "scope": "openid",
    "state": "st&te",
    "nonce": "n0nce",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def http(tmp_path: Path, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    keys = DevKeys.open(tmp_path / "dev_issuer")
    issuer = DevIssuer(keys, URL, audience="callgate", public_url="https://cg.example", clock=clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(dev_issuer_app(issuer)), base_url=URL) as client:
        yield client


async def code_for(http: httpx.AsyncClient, sub: str = "rosa", **changed: str) -> str:
    answer = await http.post("/authorize", data={**ASKED, **changed, "sub": sub})
    assert answer.status_code == 303, answer.text
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return query["code"][0]


async def redeem(http: httpx.AsyncClient, code: str, **changed: str) -> httpx.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "client_id": CLIENT_ID}
    return await http.post("/token", data={**form, "code_verifier": VERIFIER, **changed})


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


async def test_the_page_lists_who_can_sign_in_and_may_lead_back_to_the_client_only(http: httpx.AsyncClient) -> None:
    answer = await http.get("/authorize", params=ASKED)
    assert answer.status_code == 200
    people = [person for person in DEMO_PEOPLE if person.kind != "agent"]
    assert re.findall(r'<button name="sub" value="(\w+)"', answer.text) == [person.sub for person in people]
    assert all(person.may in answer.text for person in people)
    assert "st&amp;te" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; style-src 'self'; form-action 'self' http://127.0.0.1:8080;" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert "form-action 'self';" in (await http.get("/")).headers["content-security-policy"]


async def test_a_code_is_sent_to_the_client_with_its_state_and_the_issuers_name(http: httpx.AsyncClient) -> None:
    answer = await http.post("/authorize", data={**ASKED, "sub": "rosa"})
    to = urlsplit(answer.headers["location"])
    assert f"{to.scheme}://{to.netloc}{to.path}" == BACK
    query = parse_qs(to.query)
    assert (query["state"], query["iss"]) == (["st&te"], [URL])


async def test_a_code_is_redeemed_once_for_an_id_token_and_an_access_token(http: httpx.AsyncClient) -> None:
    code = await code_for(http)
    answer = await redeem(http, code)
    assert answer.status_code == 200
    said = claims(answer.json()["id_token"])
    assert said.items() >= {"iss": URL, "sub": "rosa", "aud": CLIENT_ID, "nonce": "n0nce", "groups": ["sre"]}.items()
    assert claims(answer.json()["access_token"])["aud"] == "callgate"
    again = await redeem(http, code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": "short"},
        {"redirect_uri": BACK + "/"},
        {"client_id": "other"},
        {"code": "x"},
    ],
)
async def test_a_code_is_good_for_its_client_address_and_verifier_and_spent_by_one_try(
    http: httpx.AsyncClient, changed: dict[str, str]
) -> None:
    code = await code_for(http)
    refused = await redeem(http, **{"code": code, **changed})
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert (await redeem(http, code)).status_code == (200 if changed == {"code": "x"} else 400)


async def test_a_code_is_good_for_a_minute_and_old_ones_make_room(http: httpx.AsyncClient, clock: Clock) -> None:
    late, first = await code_for(http), await code_for(http)
    clock.now += 60
    assert (await redeem(http, late)).status_code == 400
    for _ in range(1000):
        await code_for(http)
    assert (await redeem(http, first)).status_code == 400


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "other"},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "http://127.0.0.1@evil.example/"},
        {"redirect_uri": "http://evil.example\\.127.0.0.1/"},
        {"redirect_uri": "http://127.0.0.1.evil.example/"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "//127.0.0.1/"},
        {"redirect_uri": "http://cg.example/approvals"},
        {"redirect_uri": BACK + "#x"},
        {"response_type": "token"},
        {"scope": "profile"},
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
        {"state": "s" * 513},
    ],
)
async def test_a_request_that_is_not_our_clients_sends_nobody_anywhere(
    http: httpx.AsyncClient, changed: dict[str, str]
) -> None:
    for answer in (
        await http.get("/authorize", params={**ASKED, **changed}),
        await http.post("/authorize", data={**ASKED, **changed, "sub": "rosa"}),
    ):
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "evil" not in answer.text


async def test_the_deployments_own_address_is_fine_and_nobody_else_signs_in(http: httpx.AsyncClient) -> None:
    await code_for(http, redirect_uri="https://cg.example/approvals/sign-in/development/callback")
    for sub in ("support-bot", "mallory", ""):
        assert (await http.post("/authorize", data={**ASKED, "sub": sub})).status_code == 400
    assert (await http.get(f"/authorize?state=a&state=b&{httpx.QueryParams(ASKED)}")).status_code == 400


async def test_signing_out_leads_back_to_the_client_only(http: httpx.AsyncClient) -> None:
    back = {"post_logout_redirect_uri": "http://127.0.0.1:8080/approvals/sign-in", "id_token_hint": "a.b.c"}
    answer = await http.get("/end-session", params=back)
    assert answer.headers["location"] == back["post_logout_redirect_uri"]
    assert (await http.get("/end-session", params=back | {"state": "x"})).headers["location"].endswith("?state=x")
    for url in ("https://evil.example/", "", "/approvals"):
        assert (await http.get("/end-session", params={"post_logout_redirect_uri": url})).status_code == 400


async def test_discovery_tells_of_the_flow(http: httpx.AsyncClient) -> None:
    document = (await http.get("/.well-known/openid-configuration")).json()
    assert document["authorization_endpoint"] == f"{URL}/authorize"
    assert document["end_session_endpoint"] == f"{URL}/end-session"
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
