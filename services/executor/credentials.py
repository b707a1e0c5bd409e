"""A connection's credential, read from its environment variable or file at call time and kept nowhere.

Reading anew for each call lets a rotated secret work without a restart.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from contracts.functions import Credential
from contracts.headers import EXECUTORS, NAME, VALUE

CredentialCode = Literal["credential_missing", "credential_unreadable", "credential_malformed"]

MAX_SECRET = 16 * 1024
"""Bytes. A longer file is not a secret but a mistaken path."""


class CredentialError(Exception):
    """The credential cannot be used; nothing was sent. `code`: nothing there (`credential_missing`), not to be
    read (`credential_unreadable`: permissions, a directory), or not fit for a header (`credential_malformed`)."""

    def __init__(self, code: CredentialCode) -> None:
        super().__init__(code)
        self.code: CredentialCode = code


class Secret:
    """A text that shows itself to `reveal()` only: not in `repr`, `str`, format, comparison or pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not to be serialised")


@dataclass(frozen=True, slots=True)
class CredentialHeader:
    """The one header by which the executor proves itself to an upstream."""

    name: str
    value: Secret


def read_credential(credential: Credential, environ: Mapping[str, str]) -> CredentialHeader:
    """The header as of now. Raises `CredentialError` and nothing else; its text holds no part of the secret."""
    secret = _read(credential, environ)
    if not secret:
        raise CredentialError("credential_missing")
    name = "Authorization"
    match credential.kind:
        case "bearer":
            value = f"Bearer {secret}"
        case "basic":
            if ":" not in secret:  # RFC 7617: user-id ":" password
                raise CredentialError("credential_malformed")
            value = "Basic " + base64.b64encode(secret.encode()).decode()
        case "header":
            name, value = credential.header, secret
    if not VALUE.fullmatch(value) or not NAME.fullmatch(name) or name.lower() in EXECUTORS:
        raise CredentialError("credential_malformed")
    return CredentialHeader(name, Secret(value))


def _read(credential: Credential, environ: Mapping[str, str]) -> str:
    if credential.env is not None:
        return environ.get(credential.env, "")
    if credential.file is None:
        raise CredentialError("credential_missing")
    code: CredentialCode
    try:
        return _file(credential.file)
    except FileNotFoundError:
        code = "credential_missing"
    except OSError:
        code = "credential_unreadable"
    except UnicodeDecodeError:
        code = "credential_malformed"
    raise CredentialError(code)


def _file(path: Path) -> str:
    """Its text without the one line end that editors and `echo` leave."""
    with path.open("rb") as file:
        data = file.read(MAX_SECRET + 1)
    if len(data) > MAX_SECRET:
        raise CredentialError("credential_malformed")
    return data.removesuffix(b"\n").removesuffix(b"\r").decode()
