"""Headers: what RFC 7240, the W3C's trace context and RFC 9110 say, and nothing that an agent sends raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingress.headers import idempotency_key, is_json, last_event_id, preferences, traceparent_of, wait_of

TRACE = f"00-{'a1' * 16}-{'b2' * 8}-01"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], {}),
        (["wait=10"], {"wait": "10"}),
        (["respond-async, wait=10"], {"respond-async": "", "wait": "10"}),
        (["respond-async", "WAIT = 10"], {"respond-async": "", "wait": "10"}),
        (["wait=1, wait=2"], {"wait": "1"}),
        (['foo="a, wait=9"; bar=1, wait="1\\0"'], {"foo": "a, wait=9", "wait": "10"}),
        (['return=minimal; foo="some parameter", lenient=; x'], {"return": "minimal", "lenient": ""}),
        (["wait=10 20, =1, ,;, ok"], {"ok": ""}),
        (['open="never closed, wait=3'], {"wait": "3"}),
    ],
)
def test_preferences(headers: list[str], found: dict[str, str]) -> None:
    assert preferences(headers) == found


@pytest.mark.parametrize(
    ("headers", "seconds", "applied"),
    [
        ([], 50, None),
        (["wait=10"], 10, "wait=10"),
        (["wait=0"], 0, "wait=0"),
        (["wait=999999999"], 60, "wait=60"),
        (["respond-async"], 0, "respond-async"),
        (["respond-async, wait=5"], 5, "wait=5"),
        (["wait"], 50, None),
        (["wait=-1"], 50, None),
        (["wait=1.5"], 50, None),
        (["wait=١٢"], 50, None),
        (["wait=99999999999999999999"], 50, None),
        (["wait=x, wait=3"], 50, None),
    ],
)
def test_wait(headers: list[str], seconds: float, applied: str | None) -> None:
    assert wait_of(headers, 50, 60) == (seconds, applied)


def test_the_default_is_bounded_too() -> None:
    assert wait_of([], 50, 10) == (10, None)


@given(st.lists(st.text(alphabet=st.sampled_from('wait=0123456789,; "\\\t\x00é-respond')) | st.text()))
def test_no_prefer_raises_or_leaves_the_bounds(headers: list[str]) -> None:
    wait = wait_of(headers, 50, 60)
    assert 0 <= wait.seconds <= 60
    assert wait.applied in (None, "respond-async", f"wait={wait.seconds:g}")


@given(
    st.integers(0, 10**9 - 1),
    st.lists(st.sampled_from(["respond-async", 'handling="le,ni;ent"', "return=minimal;x=y"])),
    st.lists(st.sampled_from(["foo", "bar=1", "wait=77"])),
)
def test_a_wait_among_other_preferences_is_found(seconds: int, before: list[str], after: list[str]) -> None:
    wait = wait_of([", ".join([*before, f"wait={seconds}", *after])], 1, 10**9)
    assert wait.seconds == seconds


@pytest.mark.parametrize(
    ("headers", "handed_on"),
    [
        ([TRACE], TRACE),
        ([f"cc{TRACE[2:]}-more-of-a-later-version"], TRACE),
        ([], None),
        ([TRACE, TRACE], None),
        ([f"{TRACE}-more"], None),
        ([f"ff{TRACE[2:]}"], None),
        ([TRACE.upper()], None),
        ([f"00-{'0' * 32}-{'b' * 16}-01"], None),
        ([f"00-{'a' * 32}-{'0' * 16}-01"], None),
        ([f"{TRACE}\n"], None),
        ([f" {TRACE}"], None),
        ([""], None),
        (["cc" + TRACE[2:] + "-" + "x" * 2000], None),
    ],
)
def test_traceparent(headers: list[str], handed_on: str | None) -> None:
    assert traceparent_of(headers) == handed_on


@given(st.lists(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.*", fullmatch=True)))
def test_only_a_well_formed_context_is_handed_on(headers: list[str]) -> None:
    handed_on = traceparent_of(headers)
    assert handed_on is None or (len(handed_on) == 55 and handed_on[3:] == headers[0][3:55])


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        (["application/json"], True),
        (["Application/JSON; charset=UTF-8"], True),
        (['application/json;charset="utf-8"; x=y'], True),
        ([], False),
        (["application/json", "application/json"], False),
        (["application/json; charset=latin-1"], False),
        (["application/problem+json"], False),
        (["text/json"], False),
        (["application/json, text/plain"], False),
    ],
)
def test_content_type(headers: list[str], accepted: bool) -> None:
    assert is_json(headers) is accepted


@given(st.text() | st.none())
def test_a_last_event_id_that_we_never_gave_is_none(text: str | None) -> None:
    assert 0 <= last_event_id(text) < 10**18


def test_last_event_id() -> None:
    assert (last_event_id("42"), last_event_id("٤٢"), last_event_id("-1"), last_event_id(None)) == (42, 0, 0, 0)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ([], None),
        (['"8e03978e-40d5-43dd-bc93-6894a57f9324"'], "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ([" bare "], "bare"),
        (['"a key with blanks"'], "a key with blanks"),
        (["a" * 255], "a" * 255),
    ],
)
def test_an_idempotency_key_is_quoted_or_bare(values: list[str], key: str | None) -> None:
    assert idempotency_key(values) == key


@pytest.mark.parametrize(
    "values", [[""], ['""'], ['"a'], ['a"'], ["a b"], ["\u00e4"], ["a" * 256], ["a", "a"], ['"a\x00"'], ['"\\"']]
)
def test_a_malformed_idempotency_key_is_no_absent_one(values: list[str]) -> None:
    with pytest.raises(ValueError, match="malformed"):
        idempotency_key(values)
