"""Values that an agent chose, shown to people."""

import html
import re
from datetime import timedelta

import pytest
from approval_calls import START
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Finding
from services.approval.lookalikes import lookalikes
from services.approval.rendering import ROWS, VALUE_LIMIT, is_plain, plain, rows, until, visible


@pytest.mark.parametrize(
    "hidden",
    [
        *("\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u2028", "\x00", "\x1b", "\u00a0"),
        *("\u3164", "\u2800", "\ufe0f", "\U000e0041", "\U000e0101", "\ue000", "\u115f"),
    ],
)
def test_what_shows_nothing_is_named(hidden: str) -> None:
    shown = str(visible(f"a{hidden}b"))
    assert hidden not in shown
    assert f"U+{ord(hidden):04X}</span>b" in shown


def test_ordinary_text_stays_itself() -> None:
    for text in (
        "Zürich, 12 €",
        "日本語",
        "שלום",
        "e\u0301",
        "Москва",
        "\u0438 \u0441\u043e\u0440\u0435",
        "½ m²",
        "ж٣",
    ):
        assert str(visible(text)) == f"<bdi>{text}</bdi>"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("p\u0430ypal", {1: "a"}),
        ("\u0441\u043e\u0440\u0435", {0: "c", 1: "o", 2: "p", 3: "e"}),
        ("\uff50ay 1\u0663", {0: "p", 5: "3"}),
        ("\U0001d41aim", {0: "a"}),
        ("acme-\u0440ayments.example", {5: "p"}),
        ("\u0410\u0411 and \u0391", {}),
    ],
)
def test_what_passes_for_another_is_found(text: str, found: dict[int, str]) -> None:
    assert lookalikes(text) == found
    assert is_plain(text) == (not found)


def test_what_passes_for_another_is_named() -> None:
    shown = str(visible("p\u0430ypal"))
    title = "U+0430 CYRILLIC SMALL LETTER A, looks like a"
    assert shown == f'<bdi>p<span class="look-alike" title="{title}">\u0430<small>U+0430</small></span>ypal</bdi>'


def test_what_passes_for_another_is_named_without_markup_too() -> None:
    assert plain("p\u0430ypal\u202e", 100) == ("p[U+0430, looks like a]ypal[U+202E]", 0)
    assert plain("p\u0430ypal", 10) == ("p", 5)


@given(st.text() | st.text("a\u0430\u0441\uff41\u0663\u05d0\u202e1 "))
def test_what_was_made_plain_stays_as_it_is(text: str) -> None:
    made, _ = plain(text, 1_000_000)
    assert plain(made, 1_000_000) == (made, 0)


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    shown = str(visible(text))
    inner = re.sub(r'<span class="hidden-character" title="[^"<>&]*">U\+[0-9A-F]{4,6}</span>', "", shown[5:-6])
    inner = re.sub(
        r'<span class="look-alike" title="[^"<>&]*">([^<])<small>U\+[0-9A-F]{4,6}</small></span>', r"\1", inner
    )
    assert not set(inner) & set("<>\"'")
    printable = "".join(c for c in text if c.isascii() and c.isprintable())
    assert "".join(c for c in html.unescape(inner) if c.isascii() and c.isprintable()) == printable


def test_rows_are_leaves_in_order_with_what_masking_found() -> None:
    arguments = {"a": {"b/c": [1, "x"], "e": {}}, "n": None, "t": True}
    findings = [Finding(path="/a/b~1c/1", entity=entity, start=0, end=1) for entity in ("IBAN", "IBAN", "EMAIL")]
    shown, more = rows(arguments, findings)
    assert [(row.path, row.kind, row.text) for row in shown] == [
        (("a", "b/c", "0"), "number", "1"),
        (("a", "b/c", "1"), "text", "x"),
        (("a", "e"), "object", "{}"),
        (("n",), "null", "null"),
        (("t",), "yes/no", "true"),
    ]
    assert shown[1].entities == ("IBAN", "EMAIL")
    assert more == 0


def test_what_is_too_much_is_counted() -> None:
    shown, more = rows(["x" * (VALUE_LIMIT + 5)] * (ROWS + 3), ())
    assert (len(shown), more, shown[0].cut) == (ROWS, 3, 5)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "now"),
        (59, "less than a minute"),
        (60, "1 minute"),
        (899, "14 minutes"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (3 * 86_400, "3 days"),
    ],
)
def test_how_long_is_left(seconds: int, said: str) -> None:
    assert until(START + timedelta(seconds=seconds), START) == said
