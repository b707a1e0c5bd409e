"""What operators write on the command line."""

from pathlib import Path

import pytest

from callgate.errors import ConfigurationError
from callgate.settings import Settings
from cli import output
from cli.operators import Server, parse_size, write_nats_config


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


@pytest.mark.parametrize(
    ("server", "option"),
    [(Server("/data", "0.0.0.0:422x"), "--listen"), (Server("/data", "0.0.0.0:4222", "8222"), "--monitor")],
)
def test_an_address_that_is_none_names_its_option(tmp_path: Path, server: Server, option: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        write_nats_config(Settings(state=tmp_path), tmp_path / "nats.conf", server)
    assert refused.value.detail.startswith(f"{option} must be host:port")
    assert not (tmp_path / "nats.conf").exists()


def test_one_is_no_plural() -> None:
    assert [output.count(number, "call") for number in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]
    assert (output.count(1, "policy", "policies"), output.count(3, "policy", "policies")) == ("1 policy", "3 policies")
