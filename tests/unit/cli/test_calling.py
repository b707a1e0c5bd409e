"""`callgate call`: arguments as they stand on a command line, and numbers that are never rounded."""

from pathlib import Path
from typing import Any

import pytest

from callgate.errors import ConfigurationError
from cli.arguments import Given, arguments_of

SCHEMAS: dict[str, Any] = {"id": {"type": "string"}, "amount": {"type": "number"}, "note": {"type": ["string", "null"]}}


def read(*pairs: str, file: Path | None = None) -> dict[str, Any]:
    return arguments_of(Given(pairs, file), SCHEMAS)


def test_arguments_are_read_as_the_schema_types_them() -> None:
    assert read("id=007", "amount=40.10", "note=null", "any=[1, 2]", "word=hello=you", "id:=7") == {
        "id": 7,
        "amount": 40.1,
        "note": "null",
        "any": [1, 2],
        "word": "hello=you",
    }


def test_a_file_is_under_the_pairs(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"id": "c1", "amount": 1}')
    assert read("amount=2", file=tmp_path / "a.json") == {"id": "c1", "amount": 2}


@pytest.mark.parametrize("number", ["12345678901234567890.5", "0.10000000000000000001", "1e400"])
@pytest.mark.parametrize("sign", ["=", ":="])
def test_a_number_that_would_be_rounded_is_refused(number: str, sign: str) -> None:
    with pytest.raises(ConfigurationError, match="more digits"):
        read(f"amount{sign}{number}")


def test_what_only_looks_like_a_number_is_text_or_no_json() -> None:
    assert read("amount=NaN", "word=Infinity") == {"amount": "NaN", "word": "Infinity"}
    with pytest.raises(ConfigurationError, match="not JSON"):
        read("amount:=NaN")


@pytest.mark.parametrize("pair", ["amount", "=1", "amount:=", ""])
def test_what_is_no_argument_is_told(pair: str) -> None:
    with pytest.raises(ConfigurationError):
        read(pair)


@pytest.mark.parametrize("text", ["[1]", "{", '{"amount": 0.10000000000000000001}'])
def test_a_file_that_holds_no_arguments_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigurationError):
        read(file=tmp_path / "a.json")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(file=tmp_path / "none.json")
