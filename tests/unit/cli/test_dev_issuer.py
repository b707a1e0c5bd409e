"""The development issuer: what it hands out, to whom, and that the authenticator accepts just that."""

import re
import stat
import time
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.identity.fetch import FetchFailed
from callgate.identity.settings import IssuerSettings
from cli.dev_issuer import DEMO_PEOPLE, DevIssuer, DevKeys, dev_issuer_app, dev_issuer_server

URL = "http://127.0.0.1:8099"


@pytest.fixture
def issuer(tmp_path: Path) -> DevIssuer:
    return DevIssuer.open(tmp_path / "dev_issuer", issuer_url=URL, audience="callgate")


@pytest.fixture
async def http(issuer: DevIssuer) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(dev_issuer_app(issuer))
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


class Fetch:
    """The app as the authenticator's Fetcher."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, url: str) -> bytes:
        answer = await self._client.get(url)
        if answer.status_code != 200:
            raise FetchFailed
        return answer.content


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
def timed(tmp_path: Path, clock: Clock) -> DevIssuer:
    return DevIssuer(DevKeys.open(tmp_path / "timed"), URL, audience="callgate", clock=clock)


@pytest.fixture
async def authenticator(timed: DevIssuer, clock: Clock) -> AsyncIterator[Authenticator]:
    transport = httpx.ASGITransport(dev_issuer_app(timed))
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield Authenticator([IssuerSettings(issuer=URL, audience="callgate")], clock=clock, http=Fetch(client))


async def test_every_person_is_authenticated_with_their_groups(timed: DevIssuer, authenticator: Authenticator) -> None:
    for person in DEMO_PEOPLE:
        principal = await authenticator.authenticate(f"Bearer {timed.grant(person.sub, None, None)}")
        assert (principal.id, principal.groups, principal.issuer) == (person.sub, person.groups, URL)


async def test_an_agent_acts_for_a_user_with_its_own_groups(timed: DevIssuer, authenticator: Authenticator) -> None:
    principal = await authenticator.authenticate(f"Bearer {timed.grant('kim', None, 'support-bot')}")
    assert principal.id == "support-bot"
    assert principal.on_behalf_of == "kim"
    assert principal.groups == ("support-bots",)
    chained = await authenticator.authenticate(f"Bearer {timed.mint('kim', act=['support-bot', 'router'])}")
    assert chained.actors == ("support-bot", "router")


async def test_rotation_signs_with_a_new_key_and_still_publishes_the_old(
    timed: DevIssuer, authenticator: Authenticator, clock: Clock
) -> None:
    before = timed.mint("rosa")
    await authenticator.authenticate(f"Bearer {before}")
    old = timed.keys.signing.key_id
    timed.rotate()
    assert [key["kid"] for key in timed.keys.jwks["keys"]] == [timed.keys.signing.key_id, old]
    assert timed.keys.signing.key_id != old
    clock.now += 10
    assert (await authenticator.authenticate(f"Bearer {timed.mint('rosa')}")).id == "rosa"
    assert (await authenticator.authenticate(f"Bearer {before}")).id == "rosa"


async def test_mint_makes_expired_and_misdirected_tokens_for_tests(
    timed: DevIssuer, authenticator: Authenticator
) -> None:
    for sent, code in (
        (timed.mint("rosa", lifetime=-60), Refusal.EXPIRED),
        (timed.mint("rosa", audience="other"), Refusal.WRONG_AUDIENCE),
    ):
        with pytest.raises(Unauthenticated) as caught:
            await authenticator.authenticate(f"Bearer {sent}")
        assert caught.value.code is code


def test_keys_are_kept_for_their_owner_only(tmp_path: Path) -> None:
    first = DevKeys.open(tmp_path / "keys")
    file = tmp_path / "keys" / "signing_keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first.rotate()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert DevKeys.open(tmp_path / "keys").jwks == first.jwks
    assert [path.name for path in file.parent.iterdir()] == [file.name], "nothing is left aside"
    for _ in range(8):
        first.rotate()
    assert len(first.jwks["keys"]) == 5
    file.chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        DevKeys.open(tmp_path / "keys")


@pytest.mark.parametrize("content", ["", "[]", '{"keys": []}', '{"keys": ["x"]}', '{"keys": [1]}'])
def test_a_broken_key_file_is_told_and_not_replaced(tmp_path: Path, content: str) -> None:
    file = tmp_path / "signing_keys.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(ValueError, match="delete it"):
        DevKeys.open(tmp_path)
    assert file.read_text() == content


async def test_private_numbers_are_never_published(http: httpx.AsyncClient) -> None:
    for key in (await http.get("/jwks.json")).json()["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


async def test_discovery_names_this_issuer(http: httpx.AsyncClient) -> None:
    document = (await http.get("/.well-known/openid-configuration")).json()
    assert document["issuer"] == URL
    assert document["jwks_uri"] == f"{URL}/jwks.json"
    assert document["token_endpoint"] == f"{URL}/token"


async def test_the_token_endpoint_grants_and_says_what_it_is(http: httpx.AsyncClient) -> None:
    answer = await http.post("/token", data={"sub": "sam", "groups": "sre", "grant_type": "client_credentials"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-development-only"] == "true"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["development_only"] is True

    authenticator = Authenticator([IssuerSettings(issuer=URL, audience="callgate")], clock=time.time, http=Fetch(http))
    assert (await authenticator.authenticate(f"Bearer {body['access_token']}")).groups == ("sre",)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "invalid_request"),
        ("sub", "invalid_request"),
        ("sub=mallory", "invalid_grant"),
        ("sub=rosa&groups=sre+finance", "invalid_scope"),
        ("sub=rosa&act=support-bot", "invalid_grant"),
        ("sub=kim&act=rosa", "invalid_grant"),
        ("sub=rosa&sub=ada", "invalid_request"),
        ("sub=rosa&aud=other", "invalid_request"),
        ("sub=rosa&grant_type=password", "unsupported_grant_type"),
        ("sub=" + "r" * 9000, "invalid_request"),
        ("a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1", "invalid_request"),
        (b"sub=\xff", "invalid_request"),
    ],
)
async def test_the_token_endpoint_refuses(http: httpx.AsyncClient, body: str | bytes, error: str) -> None:
    answer = await http.post("/token", content=body)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert "access_token" not in answer.text


class Page(HTMLParser):
    """What a browser would act on."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.buttons: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "button":
            self.buttons.append(dict(attrs).get("aria-label"))


async def test_the_page_lists_everyone_and_runs_nothing(http: httpx.AsyncClient) -> None:
    answer = await http.get("/")
    page = Page(answer.text)
    assert page.buttons == [
        "Token for support-bot",
        "Token for support-bot acting for kim",
        *[f"Token for {person.sub}" for person in DEMO_PEOPLE[1:]],
    ]
    assert not {"script", "style", "iframe"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    assert ("name", "viewport") in page.attributes
    assert "Development only" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "prefers-color-scheme: dark" in (await http.get("/style.css")).text


async def test_the_pages_button_shows_a_working_token(
    timed: DevIssuer, authenticator: Authenticator, clock: Clock
) -> None:
    transport = httpx.ASGITransport(dev_issuer_app(timed))
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        answer = await client.post("/", data={"sub": "kim", "act": "support-bot"})
        assert (await client.post("/", data={"sub": "<script>"})).status_code == 400
    shown = re.search(r"<textarea[^>]*>([^<]+)</textarea>", answer.text)
    assert shown is not None
    assert (await authenticator.authenticate(f"Bearer {shown[1]}")).on_behalf_of == "kim"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "callgate.example", ""])
def test_it_binds_to_this_machine_only(issuer: DevIssuer, host: str) -> None:
    with pytest.raises(ValueError, match="identities freely"):
        dev_issuer_server(issuer, host, 8099)
    with pytest.raises(ValueError, match="identities freely"):
        DevIssuer(issuer.keys, f"http://{host}:8099", audience="callgate")
    assert dev_issuer_server(issuer, "127.0.0.1", 8099).config.host == "127.0.0.1"


async def test_other_machines_and_rebound_names_are_refused(issuer: DevIssuer, http: httpx.AsyncClient) -> None:
    remote = httpx.ASGITransport(dev_issuer_app(issuer), client=("192.168.1.7", 5000))
    async with httpx.AsyncClient(transport=remote, base_url=URL) as client:
        assert (await client.post("/token", data={"sub": "rosa"})).status_code == 403
    rebound = await http.post("/token", data={"sub": "rosa"}, headers={"host": "evil.example"})
    assert rebound.status_code == 403
    assert "access_token" not in rebound.text
