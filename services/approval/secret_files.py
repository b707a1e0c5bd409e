"""Secrets of channels, read from their files whenever they are needed: a rotated one counts without a restart."""

from pathlib import Path

from callgate.errors import ConfigurationError

_LIMIT = 16 * 1024
"""Bytes. A longer file is no secret but a mistaken path."""


class SecretMissing(Exception):
    """The file is not there, cannot be read, or holds no secret. Its text holds no part of it."""


def read_secret(path: Path) -> str:
    """The one line of the file. SecretMissing."""
    try:
        with path.open("rb") as file:
            data = file.read(_LIMIT + 1)
        text = data.decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise SecretMissing from None
    if not text or len(data) > _LIMIT or any(character.isspace() for character in text):
        raise SecretMissing
    return text


def require_secret(path: Path, setting: str) -> None:
    """ConfigurationError at start rather than silence at the first notice."""
    try:
        read_secret(path)
    except SecretMissing:
        raise ConfigurationError(
            "secret_missing", f"{setting}: {path} is no file with one line of ASCII that this user may read"
        ) from None
