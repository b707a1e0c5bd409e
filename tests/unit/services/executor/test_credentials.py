"""A credential is read at call time, fits a header, and shows itself nowhere."""

import base64
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.functions import Credential
from services.executor.credentials import CredentialError, Secret, read_credential

SECRET = "s3cr3t-value"


def code(credential: Credential, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(CredentialError) as caught:
        read_credential(credential, environ or {})
    assert caught.value.__context__ is None
    assert SECRET not in str(caught.value)
    return caught.value.code


@pytest.mark.parametrize(
    ("credential", "value", "header"),
    [
        (Credential(env="T"), SECRET, ("Authorization", f"Bearer {SECRET}")),
        (Credential(env="T", kind="header", header="X-Api-Key"), SECRET, ("X-Api-Key", SECRET)),
        (
            Credential(env="T", kind="basic"),
            "ü:p:w",
            ("Authorization", "Basic " + base64.b64encode("ü:p:w".encode()).decode()),
        ),
    ],
)
def test_forms(credential: Credential, value: str, header: tuple[str, str]) -> None:
    read = read_credential(credential, {"T": value})
    assert (read.name, read.value.reveal()) == header


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_file_is_read_anew_without_its_line_end(tmp_path: Path, end: str) -> None:
    file = tmp_path / "token"
    credential = Credential(file=file)
    for secret in ("first", "second"):
        file.write_bytes((secret + end).encode())
        assert read_credential(credential, {}).value.reveal() == f"Bearer {secret}"


def test_missing(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    assert code(Credential(env="T")) == "credential_missing"
    assert code(Credential(env="T"), {"T": ""}) == "credential_missing"
    assert code(Credential(file=tmp_path / "none")) == "credential_missing"
    assert code(Credential(file=empty)) == "credential_missing"


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert code(Credential(file=tmp_path)) == "credential_unreadable"  # a directory
    locked = tmp_path / "locked"
    locked.write_text(SECRET)

    def refuse(*_: object, **__: object) -> None:  # chmod would not stop root
        raise PermissionError(13, "Permission denied", str(locked))

    monkeypatch.setattr(Path, "open", refuse)
    assert code(Credential(file=locked)) == "credential_unreadable"


@pytest.mark.parametrize("data", [b"a\r\nX: y", b"a\nb", b"\xff\xfe", "ü".encode(), b"a\0b", b"x" * 20_000, b"a\n\n"])
def test_malformed(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(data)
    assert code(Credential(file=file)) == "credential_malformed"


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "Idempotency-Key", "X: y\r\nZ", "", "ü"]
)
def test_header_names_that_are_not_for_credentials(name: str) -> None:
    assert code(Credential(env="T", kind="header", header=name), {"T": SECRET}) == "credential_malformed"


def test_basic_needs_a_user_and_a_password() -> None:
    assert code(Credential(env="T", kind="basic"), {"T": SECRET}) == "credential_malformed"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_whatever_the_secret_no_header_can_be_smuggled(secret: str) -> None:
    credential = Credential(env="T", kind="header", header="X-Key")
    fit = secret.isascii() and secret.isprintable() and secret == secret.strip()
    if fit:
        assert read_credential(credential, {"T": secret}).value.reveal() == secret
    else:
        with pytest.raises(CredentialError, match="credential_malformed"):
            read_credential(credential, {"T": secret})


def test_secret_shows_itself_only_when_told_to() -> None:
    read = read_credential(Credential(env="T"), {"T": SECRET})
    for shown in (repr(read), str(read), f"{read.value}", f"{read.value!r:>40}", "%s" % read.value):  # noqa: UP031
        assert SECRET not in shown
    with pytest.raises(TypeError, match="serialised"):
        pickle.dumps(Secret(SECRET))
