"""Every code that policy and executor can give has a sentence, and stands in the documents."""

import re
from pathlib import Path
from typing import Any

import pytest

from contracts.events import InputProblem
from services.ingress.explanations import CANCELLED, DENIED, FAILED, explain

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("services/policy/domain.py", r'_Denial\("([a-z_]+)"'),
        ("services/policy/domain.py", r'facts, "denied", "([a-z_]+)"'),
        ("callgate/cedar/values.py", r'NoDecision\("([a-z_]+)"'),
    ],
)
def test_every_denial_is_explained(file: str, pattern: str) -> None:
    codes = re.findall(pattern, (ROOT / file).read_text())
    assert codes
    assert set(codes) <= set(DENIED)


def test_every_reason_not_to_send_is_explained() -> None:
    codes = re.findall(r'raise MappingError\("([a-z_]+)"', (ROOT / "callgate/http_mapping/building.py").read_text())
    codes += re.findall(r'code = "([a-z_]+)"', (ROOT / "services/executor/credentials.py").read_text())
    assert codes
    assert set(codes) <= set(FAILED)


def test_the_documents_list_every_code() -> None:
    text = (ROOT / "docs/codes.md").read_text()
    for code, sentence in (*DENIED.items(), *FAILED.items(), *CANCELLED.items()):
        assert f"| `{code}` | {sentence} |" in text


@pytest.mark.parametrize(
    ("pointer", "keyword", "place"),
    [
        ("/id", "type", "`/id` breaks `type`"),
        ("/order/total", "required", "`/order/total` is missing"),
        ("", "additionalProperties", "(the arguments) breaks `additionalProperties`"),
    ],
)
def test_problems_are_named_with_their_places(pointer: str, keyword: str, place: str) -> None:
    said = explain("denied", "input_invalid", [InputProblem(pointer=pointer, keyword=keyword)])
    assert said is not None
    assert said.endswith(f"Here: {place}.")


def test_a_result_needs_no_words_and_an_unknown_code_gets_the_plain_ones() -> None:
    assert explain("completed", None) is None
    assert explain("pending", None) is None
    assert explain("failed", "brand_new") == "It certainly had no effect."


SCHEMA: dict[str, Any] = {
    "additionalProperties": False,
    "properties": {
        "currency": {"enum": ["EUR", None]},
        "amount": {"type": ["number", "null"], "minimum": 1},
        "order/s": {"items": {"properties": {"total": {"type": "integer"}}}},
        "many": {"enum": list(range(30))},
        "free": {"anyOf": [{"type": "string"}]},
    },
}


@pytest.mark.parametrize(
    ("pointer", "keyword", "said"),
    [
        ("/currency", "enum", ' (allowed: "EUR", null)'),
        ("/amount", "type", " (number or null)"),
        ("/amount", "minimum", " (1)"),
        ("/order~1s/3/total", "type", " (integer)"),
        ("", "additionalProperties", " (known: amount, currency, free, many, order/s)"),
        ("/many", "enum", f" (allowed: {', '.join(map(str, range(20)))} and 10 more)"),
        ("/free", "anyOf", ""),
        ("/*", "type", ""),
        ("/currency", "type", ""),
    ],
)
def test_what_the_schema_allows_is_said_in_its_own_words(pointer: str, keyword: str, said: str) -> None:
    text = explain("denied", "input_invalid", [InputProblem(pointer=pointer, keyword=keyword)], SCHEMA)
    assert text is not None
    assert text.endswith(f" breaks `{keyword}`{said}.")
