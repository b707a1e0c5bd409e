"""What operators write on the command line."""

import pytest

from callgate.errors import ConfigurationError
from cli.operators import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("20GB", 20_000_000_000),
        ("20 GB", 20_000_000_000),
        ("500MiB", 500 * 1024**2),
        ("3T", 3 * 1000**4),
        ("7k", 7000),
    ],
)
def test_a_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "0GB", "-1", "1.5GB", "20 gb", "GB", "1e9", "20GBx", "unlimited"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_size(text)
