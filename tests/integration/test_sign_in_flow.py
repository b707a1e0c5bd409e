"""Signing in at the development issuer over HTTP: the whole flow, and what an attacker makes of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from approval_scene import eventually
from sign_in_scene import Doors, Page, Wanderer, hidden_fields, signing_in
from yarl import URL


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with signing_in(tmp_path) as opened:
        yield opened


async def test_a_person_signs_in_looks_and_signs_out(doors: Doors) -> None:
    async with Wanderer(doors) as browser:
        page = await browser.get("/approvals/1-0.s_x.y")
        assert (page.url.path, page.url.query["next"]) == ("/approvals/sign-in", "/approvals/1-0.s_x.y")
        assert f"{doors.url}/approvals/sign-in/development?next=" in page.text
        assert "Access token" not in page.text, "nobody pastes tokens where the issuer has a client"

        page = await browser.sign_in("rosa")
        assert (page.status, page.url.path) == (200, "/approvals")
        assert ">rosa<" in page.text
        kept = {cookie.key: cookie for cookie in browser.http.cookie_jar}
        assert kept.keys() == {"callgate", "callgate-issuer"}, "what the sign-in needed is gone"
        assert (kept["callgate"]["httponly"], kept["callgate"]["samesite"]) == (True, "lax")
        assert "eyJ" not in kept["callgate"].value + kept["callgate-issuer"].value, "no token to be had"

        code = hidden_fields(page.text)["code"]
        page = await browser.post("/approvals/sign-out", {"code": code})
        assert (page.status, page.url.path) == (200, "/approvals/sign-out")
        assert (await browser.get("/approvals")).url.path == "/approvals/sign-in"
        there = await browser.get("/approvals/sign-out/issuer", follow=False)
        assert there.headers["location"].startswith(f"{doors.issuer.url}/end-session?id_token_hint=eyJ")
        assert (await browser.get(there.headers["location"])).url == URL(f"{doors.url}/approvals/sign-in")
        assert not list(browser.http.cookie_jar)


async def test_a_code_signs_in_once_and_in_the_browser_that_asked_for_it(doors: Doors) -> None:
    async with Wanderer(doors) as attacker, Wanderer(doors) as victim:
        answer = await attacker.answer("fay")
        # Login CSRF: the victim's browser is led to the attacker's answer, without or with a sign-in of its own.
        assert (await victim.get(str(answer))).status == 400
        await victim.to_issuer()
        refused = await victim.get(str(answer))
        assert (refused.status, "belongs to another sign-in" in refused.text) == (400, True)
        assert (await victim.get("/approvals")).url.path == "/approvals/sign-in"

        login = await attacker.get(str(answer))
        assert login.url.path == "/approvals"
        assert (await attacker.get(str(answer))).status == 400, "what the browser kept of the attempt is gone"


async def test_a_replayed_code_is_refused_even_with_the_attempt_restored(doors: Doors) -> None:
    async with Wanderer(doors) as browser:
        answer = await browser.answer("rosa")
        kept = {cookie.key: cookie.value for cookie in browser.http.cookie_jar}
        await browser.get(str(answer))
        browser.http.cookie_jar.clear()
        browser.http.cookie_jar.update_cookies({"callgate-sign-in": kept["callgate-sign-in"]}, URL(doors.url))
        again = await browser.get(str(answer))
        assert (again.status, "used already" in again.text) == (400, True)


async def test_a_code_that_was_stolen_and_brought_into_another_attempt_lacks_its_verifier(doors: Doors) -> None:
    async with Wanderer(doors) as victim, Wanderer(doors) as thief:
        stolen = (await victim.answer("fay")).query["code"]
        own = await thief.answer("rosa")
        page = await thief.get(str(own.update_query(code=stolen)))
        assert (page.status, "used already" in page.text) == (400, True)
        assert (await thief.get("/approvals")).url.path == "/approvals/sign-in"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"state": "x"}, "another sign-in"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"code": "x"}, "used already"),
        ({"code": None}, "incomplete"),
        ({"error": "access_denied"}, "did not let you in"),
        ({"error": "<script>"}, "authorization_failed"),
    ],
)
async def test_an_answer_that_was_tampered_with_signs_nobody_in(
    doors: Doors, changed: dict[str, str | None], says: str
) -> None:
    async with Wanderer(doors) as browser:
        answer = await browser.answer()
        query = {name: value for name, value in {**answer.query, **changed}.items() if value is not None}
        page = await browser.get(str(answer.with_query(query)))
        assert page.status in (400, 403, 502)
        assert says in page.text
        assert "<script>" not in page.text
        assert "Sign in</a>" in page.text, "what to do next is there"
        assert (await browser.get("/approvals")).url.path == "/approvals/sign-in"


async def test_a_parameter_twice_and_another_providers_callback_are_refused(doors: Doors) -> None:
    async with Wanderer(doors) as browser:
        answer = await browser.answer()
        assert (await browser.get(f"{answer}&state={answer.query['state']}")).status == 400
        assert (await browser.get(str(answer).replace("/development/", "/other/"))).status == 404


@pytest.mark.parametrize(
    "next", ["https://evil.example", "//evil.example/approvals", "/approvals/sign-out", "/v1/calls"]
)
async def test_signing_in_leads_nowhere_else(doors: Doors, next: str) -> None:
    async with Wanderer(doors) as browser:
        page = await browser.sign_in(next=next)
        assert page.url == URL(f"{doors.url}/approvals")


async def test_signing_in_leads_to_the_page_that_was_wanted(doors: Doors) -> None:
    async with Wanderer(doors) as browser:
        page = await browser.sign_in(next="/approvals/1-0.s_none.none")
        assert (page.url.path, page.status) == ("/approvals/1-0.s_none.none", 404)


async def test_other_sites_neither_sign_in_nor_out_nor_with_a_token(doors: Doors) -> None:
    async with Wanderer(doors) as browser:
        code = hidden_fields((await browser.sign_in()).text)["code"]
        for origin in ("https://evil.example", "null"):
            assert (await browser.post("/approvals/sign-out", {"code": code}, origin=origin)).status == 403
        assert (await browser.post("/approvals/sign-out", {"code": "0" * 64})).status == 403
        assert (await browser.get("/approvals")).url.path == "/approvals"
        token = {"token": doors.issuer.mint("fay")}
        assert (await browser.post("/approvals/sign-in", token)).status == 403


async def test_a_session_is_over_after_its_time_and_says_so(tmp_path: Path) -> None:
    async with signing_in(tmp_path, session_hours=1 / 3600) as doors, Wanderer(doors) as browser:
        assert (await browser.sign_in()).url.path == "/approvals"

        async def refused() -> Page | None:
            page = await browser.get("/approvals")
            return page if page.status != 200 else None

        page = await eventually(refused)
        assert (page.status, "the session is over" in page.text) == (401, True)
