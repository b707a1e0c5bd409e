"""The scanner finds a text in each form, wherever it stands; a scan that finds nothing must mean something."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.demo import scan as scanning
from cli.demo.scan import forms, scan

SECRET = "5555555555554444"


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("plain", f"x{SECRET}y".encode()),
        ("plain", SECRET.encode("utf-16-le")),
        ("JSON", "".join(f"\\u{ord(c):04x}" for c in SECRET).encode()),
        ("base64", base64.b64encode(f"any {SECRET} more".encode())),
        ("hex", SECRET.encode().hex().encode()),
    ],
)
def test_finds_each_form(tmp_path: Path, form: str, content: bytes) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(content)
    (tmp_path / "other").write_bytes(b"5555 5555")
    result = scan(tmp_path, {"card": SECRET})
    assert result.found("card", form) == ["deep/file"]
    assert (result.files, result.bytes) == (2, len(content) + 9)


def test_finds_across_the_pieces_it_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "_PIECE", 7)
    (tmp_path / "file").write_bytes(b"0123456789" + SECRET.encode() + b"0123456789")
    assert scan(tmp_path, {"card": SECRET}).found("card") == ["file"]


def test_leaves_out_only_what_it_is_told_to(tmp_path: Path) -> None:
    for name in ("token", "copy"):
        (tmp_path / name).write_text(SECRET)
    result = scan(tmp_path, {"card": SECRET}, leave_out=(tmp_path / "token",))
    assert (result.found("card"), result.files) == (["copy"], 1)


@given(
    before=st.binary(max_size=20),
    secret=st.text(st.characters(exclude_categories=("C", "Z")), min_size=6, max_size=40),
    after=st.binary(max_size=20),
    urlsafe=st.booleans(),
)
def test_base64_is_found_at_any_offset(before: bytes, secret: str, after: bytes, urlsafe: bool) -> None:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    text = encode(before + secret.encode() + after)
    assert any(piece in text for piece in forms(secret)["base64"])


@given(secret=st.text(st.characters(codec="utf-8"), min_size=6, max_size=40))
def test_json_is_found_escaped_or_not(secret: str) -> None:
    variants = {form for forms_of in forms(secret).values() for form in forms_of}
    assert any(variant in json.dumps(f"a{secret}b").encode() for variant in variants)
    assert any(variant in secret.encode() for variant in variants)
