"""Sealed cookies: only what was sealed here, as this kind, under a key in force, opens; and Sessions on them."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi import Request, Response
from hypothesis import given
from hypothesis import strategies as st
from sealing_fakes import NOW, Keys

from callgate.http import Problem
from callgate.identity.errors import Refusal, Unauthenticated
from contracts.identity import Principal, Role
from services.approval.cookies import COOKIE_LIMIT, CookieExpired, Cookies, CookieTooLong, Kind, seal, unseal
from services.approval.sessions import Sessions, form_code

KEYS = {"approval-new": b"n" * 32, "approval-old": b"o" * 32}
UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
VALUE = {"id": "abc", "principal": {"id": "rosa", "groups": ["sre", "größe"]}}
ROSA = Principal(id="rosa", issuer="https://id.example", groups=("sre",), authenticated_at=NOW)
TEXT = seal(KEYS, "callgate", VALUE, UNTIL)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def request(**cookies: str) -> Request:
    text = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return Request({"type": "http", "headers": [(b"cookie", text.encode())]})


def kept(response: Response) -> dict[str, str]:
    """What a browser would send back."""
    pairs = (line.decode().partition(";")[0] for name, line in response.raw_headers if name == b"set-cookie")
    return dict(pair.split("=", 1) for pair in pairs)


def test_a_cookie_opens_as_its_kind_under_a_key_in_force() -> None:
    assert unseal(KEYS, "callgate", TEXT) == (VALUE, UNTIL)
    assert TEXT.startswith("1.approval-new.")
    assert "rosa" not in TEXT
    assert seal(KEYS, "callgate", VALUE, UNTIL) != TEXT, "every one has a nonce of its own"
    old = seal({"approval-old": KEYS["approval-old"]}, "callgate", VALUE, UNTIL)
    assert unseal(KEYS, "callgate", old) == (VALUE, UNTIL)
    assert unseal({"approval-new": KEYS["approval-new"]}, "callgate", old) is None, "rotation ends it"
    assert unseal(KEYS, "callgate-sign-in", TEXT) is None
    assert unseal({"approval-new": b"x" * 32}, "callgate", TEXT) is None
    assert unseal({"approval-old": KEYS["approval-new"]}, "callgate", TEXT.replace("-new", "-old")) is None


@given(st.integers(0, len(TEXT) - 1), st.characters(max_codepoint=0x2FF))
def test_a_changed_cookie_does_not_open(at: int, character: str) -> None:
    changed = TEXT[:at] + character + TEXT[at + 1 :]
    assert changed == TEXT or unseal(KEYS, "callgate", changed) is None or _same_bytes(changed)


def _same_bytes(changed: str) -> bool:
    """The last character of base64 carries bits that no byte takes up."""
    return changed[:-1] == TEXT[:-1] and len(changed) == len(TEXT)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: f"1.approval-new.{_b64(raw)}"))
def test_what_was_never_sealed_here_does_not_open(text: str) -> None:
    assert unseal(KEYS, "callgate", text) is None


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


json = st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists, max_leaves=5)


@given(st.dictionaries(st.text(max_size=20), json, max_size=5), st.datetimes(timezones=st.just(UTC)))
def test_every_value_comes_back_as_it_was(value: dict[str, Any], until: datetime) -> None:
    try:
        text = seal(KEYS, "x", value, until)
    except CookieTooLong:
        return
    opened = unseal(KEYS, "x", text)
    assert opened is not None
    assert opened[0] == value
    assert abs(opened[1] - until) <= timedelta(milliseconds=1)


@pytest.mark.parametrize("secure", [True, False])
def test_what_browsers_are_told_of_a_cookie(secure: bool) -> None:
    cookies = Cookies(Keys().sealer(Role.APPROVAL), Clock(), secure)
    response = Response()
    cookies.put(response, Kind("callgate"), {}, NOW + timedelta(hours=1))
    cookies.put(response, Kind("callgate-issuer", "/approvals/sign-out", "strict"), {}, NOW + timedelta(hours=1))
    session, hint = (line.decode() for name, line in response.raw_headers if name == b"set-cookie")
    for line, name, rest in (
        (session, "__Host-callgate=", ("HttpOnly", "Path=/", "SameSite=lax")),
        (hint, "__Secure-callgate-issuer=", ("HttpOnly", "Path=/approvals/sign-out", "SameSite=strict")),
    ):
        assert line.startswith(name if secure else name.partition("-")[2])
        assert set(rest) <= set(line.split("; "))
        assert ("Secure" in line.split("; ")) is secure


# Sessions


class Scene:
    def __init__(self, keys: Keys | None = None, issuers: tuple[str, ...] = (ROSA.issuer,)) -> None:
        self.clock = Clock()
        cookies = Cookies((keys or Keys()).sealer(Role.APPROVAL), self.clock, secure=True)
        self.sessions = Sessions(cookies, frozenset(issuers), timedelta(hours=8), self.clock, None)

    def begun(self, principal: Principal = ROSA, until: datetime | None = None) -> Request:
        response = Response()
        self.sessions.begin(response, principal, until)
        return request(**kept(response))

    def refusal(self, request: Request) -> Refusal:
        with pytest.raises(Unauthenticated) as refused:
            self.sessions.person(request)
        return refused.value.code


def test_a_session_is_known_to_every_replica_until_its_end() -> None:
    keys = Keys()
    here, there = Scene(keys), Scene(keys)
    request = here.begun()
    principal, session = there.sessions.person(request)
    assert principal == ROSA
    assert here.sessions.person(request)[1] == session
    assert here.sessions.person(here.begun())[1] != session, "each sign-in is a session of its own"
    there.clock.now = NOW + timedelta(hours=8)
    assert there.refusal(request) is Refusal.EXPIRED


def test_a_session_ends_with_a_pasted_token_and_never_lasts_longer() -> None:
    scene = Scene()
    short, long = scene.begun(until=NOW + timedelta(minutes=5)), scene.begun(until=NOW + timedelta(days=5))
    scene.clock.now = NOW + timedelta(minutes=5)
    assert scene.refusal(short) is Refusal.EXPIRED
    assert scene.sessions.person(long)[0] == ROSA
    scene.clock.now = NOW + timedelta(hours=8)
    assert scene.refusal(long) is Refusal.EXPIRED


def test_nobody_is_signed_in_with_what_is_no_session_of_ours() -> None:
    scene, keys = Scene(), Keys()
    assert scene.refusal(request()) is Refusal.MISSING_TOKEN
    assert scene.refusal(request(**{"__Host-callgate": "a.jwt.token"})) is Refusal.MISSING_TOKEN
    foreign = Scene().begun()
    assert scene.refusal(foreign) is Refusal.MISSING_TOKEN, "another deployment's"
    (value,) = scene.begun().cookies.values()
    assert scene.refusal(request(callgate=value)) is Refusal.MISSING_TOKEN, "without the prefix"
    removed = Scene(keys, issuers=("https://other.example",))
    assert removed.refusal(Scene(keys).begun()) is Refusal.MISSING_TOKEN, "an issuer that is trusted no more"
    for value in ({}, {"id": "x", "principal": {"id": "rosa"}}):
        cookies = Cookies(keys.sealer(Role.APPROVAL), Clock(), secure=True)
        response = Response()
        cookies.put(response, Kind("callgate"), value, NOW + timedelta(hours=1))
        assert Scene(keys).refusal(request(**kept(response))) is Refusal.MISSING_TOKEN, "of another version"


def test_an_expired_cookie_is_told_from_none() -> None:
    clock = Clock()
    cookies = Cookies(Keys().sealer(Role.APPROVAL), clock, secure=False)
    response = Response()
    cookies.put(response, Kind("callgate"), {"a": 1}, NOW + timedelta(seconds=1))
    assert cookies.get(request(**kept(response)), Kind("callgate")) == {"a": 1}
    clock.now = NOW + timedelta(seconds=1)
    with pytest.raises(CookieExpired):
        cookies.get(request(**kept(response)), Kind("callgate"))


def test_a_hundred_groups_fit_and_too_many_are_told() -> None:
    scene = Scene()
    many = ROSA.model_copy(update={"groups": tuple(f"department-{one}/reviewers" for one in range(100))})
    request = scene.begun(many)
    assert scene.sessions.person(request)[0].groups == many.groups
    assert max(map(len, request.cookies.values())) <= COOKIE_LIMIT
    with pytest.raises(Problem, match="too_many_groups"):
        scene.begun(ROSA.model_copy(update={"groups": tuple(str(uuid4()) for _ in range(400))}))


def test_the_code_of_a_form_is_of_the_session_alone() -> None:
    scene = Scene()
    _, one = scene.sessions.person(scene.begun())
    _, other = scene.sessions.person(scene.begun())
    assert form_code(one, "vote") != form_code(other, "vote")
