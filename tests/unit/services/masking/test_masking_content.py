"""`mask_bytes`: by content type, and withheld where it cannot be told."""

import pytest

from services.masking.content import MaskedBytes, mask_bytes
from services.masking.domain import Limits
from services.masking.hints import hints_of
from services.masking.strategies import Strategies


def test_json_keeps_its_numbers_and_loses_its_secrets() -> None:
    body = b'{ "total": 1.10, "id": 12345678901234567890123, "mail": "a@b.io", "name": "J\\u00f6" }'
    masked = mask_bytes(body, "application/json; charset=utf-8")
    assert masked.data == '{"total":1.10,"id":12345678901234567890123,"mail":"[EMAIL_ADDRESS]","name":"Jö"}'.encode()
    assert [(one.path, one.entity) for one in masked.findings] == [("/mail", "EMAIL_ADDRESS")]
    assert not masked.withheld
    assert mask_bytes(body, "application/hal+json").data == masked.data


def test_json_takes_hints_and_fails_closed_leaf_by_leaf() -> None:
    hints = hints_of({"properties": {"name": {"x-callgate-mask": "PERSON"}}})
    masked = mask_bytes(b'{"name":"Jo","long":"' + b"x" * 50 + b'"}', "application/json", hints, limits=Limits(leaf=20))
    assert masked.data == b'{"name":"[PERSON]","long":"[UNINSPECTABLE]"}'
    assert masked.uninspectable == ("too_large",)
    assert not masked.withheld


@pytest.mark.parametrize("charset", ["", "; charset=iso-8859-1", '; charset="UTF-8"; x=y'])
def test_text_changes_only_in_the_found_span(charset: str) -> None:
    encoding = "latin-1" if "8859" in charset else "utf-8"
    masked = mask_bytes("é\r\n a@b.io é\n".encode(encoding), f"Text/Plain{charset}")
    assert masked.data == "é\r\n [EMAIL_ADDRESS] é\n".encode()  # whatever it came in
    assert [(one.path, one.start, one.end) for one in masked.findings] == [("", 4, 10)]


def test_nothing_is_nothing() -> None:
    assert mask_bytes(b"", None) == MaskedBytes(b"")


@pytest.mark.parametrize(
    ("data", "content_type", "code"),
    [
        (b"a@b.io", None, "content_type_missing"),
        (b"a@b.io", "application/octet-stream", "content_type_unknown"),
        (b"a@b.io", "nonsense", "content_type_unknown"),
        (b"a@b.io", "text/plain; charset=utf-7", "charset_unknown"),
        (b"\xff a@b.io", "text/plain", "undecodable"),
        (b"\x00 a@b.io", "text/plain", "undecodable"),
        (b'{"a":"\xff"}', "application/json", "undecodable"),
        (b'{"a":1,"a":"a@b.io"}', "application/json", "malformed_json"),
        (b'{"a":', "application/json", "malformed_json"),
        (b"[" * 100 + b"]" * 100, "application/json", "too_deep"),
        (b"x" * 2_000_000, "text/plain", "too_large"),
    ],
)
def test_withheld_whole(data: bytes, content_type: str | None, code: str) -> None:
    assert mask_bytes(data, content_type) == MaskedBytes(b"", uninspectable=(code,), withheld=True)


def test_its_repr_shows_no_data() -> None:
    assert "hello" not in repr(mask_bytes(b'"hello a@b.io"', "application/json"))


def test_a_body_is_masked_as_the_strategies_say() -> None:
    disguise = Strategies(entities={"EMAIL_ADDRESS": "partial", "CREDIT_CARD": "drop"}).disguise(None)
    masked = mask_bytes(b'{"to":"jane@b.io","card":"4111111111111111"}', "application/json", disguise=disguise)
    assert masked.data == b'{"to":"***@b.io"}'
    assert [one.entity for one in masked.findings] == ["EMAIL_ADDRESS", "CREDIT_CARD"]
    assert mask_bytes(b"to jane@b.io", "text/plain", disguise=disguise).data == b"to ***@b.io"
