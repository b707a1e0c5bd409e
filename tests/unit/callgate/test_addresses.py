"""Addresses as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.addresses import host_and_port, http_url, nats_servers


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        (":8080", ("127.0.0.1", 8080)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert host_and_port(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "8080", "127.0.0.1:808o", "x:65536", "x:-1", "x:", "x: 80", "::1:8080", "[x]:80", "http://x:80", "x:\u0661"],
)
def test_what_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:8080"):
        host_and_port(text)


@given(st.text())
def test_nothing_else_is_raised(text: str) -> None:
    try:
        host, port = host_and_port(text)
    except ValueError:
        return
    assert host
    assert 0 <= port <= 65535


def test_urls() -> None:
    for good in ("http://x", "https://x.example:8443/a/b", "http://[::1]:80/"):
        assert http_url(good) == good
    for bad in ("x", "ftp://x", "http://", "http://u@x", "http://x?y", "http://x y"):
        with pytest.raises(ValueError, match="must be a URL"):
            http_url(bad)
    for good in ("nats://x:4222", "tls://a:1,nats://b:2", "nats://a:1, nats://b:2"):
        assert nats_servers(good) == good
    for bad in ("x:4222", "", "nats://", "nats://a:1,", "http://x:4222"):
        with pytest.raises(ValueError, match="must be nats"):
            nats_servers(bad)
