"""IP and MAC addresses, URLs: what stands for a machine, and what only looks like it."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from finding import found
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.network import NETWORK

ADDRESSES = [
    ("203.0.113.7", "203.0.113.7"),
    ("http://203.0.113.7:8080/x", "203.0.113.7"),
    ("from 10.1.2.0/24, port 1", "10.1.2.0/24"),
    ("(192.168.1.1)", "192.168.1.1"),
    ("IP: 192.168.1.1.", "192.168.1.1"),
    ("192.168.2.1@eth0", "192.168.2.1"),
    ("worker-7/10.0.0.12:9042", "10.0.0.12"),
    ("2001:db8::1", "2001:db8::1"),
    ("[2001:db8::1]:8080", "2001:db8::1"),
    ("user@2001:db8::1", "2001:db8::1"),
    ("IP:2001:db8::1", "2001:db8::1"),
    ("684D:1111:222:3333:4444:5555:6:77", "684D:1111:222:3333:4444:5555:6:77"),
    ("fe80::1ff:fe23:4567:890a%eth0 up", "fe80::1ff:fe23:4567:890a%eth0"),
    ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
    ("64:ff9b::192.0.2.0/96", "64:ff9b::192.0.2.0/96"),
    ("Use 2001:db8::/32.", "2001:db8::/32"),
    ("8.8.8.8", "8.8.8.8"),
    ("服务器203.0.113.7上", "203.0.113.7"),
    ("服务器2001:db8::1上", "2001:db8::1"),
]


@pytest.mark.parametrize(("text", "address"), ADDRESSES)
def test_address_is_found_under_any_key(text: str, address: str) -> None:
    assert found(text, NETWORK, "note") == {("IP_ADDRESS", address)}
    assert found(text, NETWORK, "request_id") == {("IP_ADDRESS", address)}


@pytest.mark.parametrize("text", ["Use local ipv6 ::", "Unspecified ::", "::/128", "Loopback ::1"])
def test_short_forms_in_a_lone_text(text: str) -> None:
    assert [entity for entity, _ in found(text, NETWORK)] == ["IP_ADDRESS"]


def test_part_of_a_longer_run_is_found_only_where_nothing_else_is_known() -> None:
    assert found("192.168.1.1.1", NETWORK) == {("IP_ADDRESS", "192.168.1.1")}
    assert not found("192.168.1.1.1", NETWORK, "note")
    assert not found("1.3.6.1.4.1.311", NETWORK)


@pytest.mark.parametrize(
    "text",
    [
        "256.256.256.256",
        "192.168.001.001",
        "192.168.1",
        "text192.168.1.1",
        "v10.0.19.41",
        "Version 10.0.19.41",
        "lib-10.1.2.3.jar",
        "10.20.30.40-beta",
        "Chrome/120.0.0.0 Safari/537.36",
        "1.2.3.4",
        "2001:db8::256.1.1.1",
        "::ffff:192.168.1",
        "2001::db8::1",
        "gggg:hhhh::1234",
        "12:34:56",
        "aa:bb:cc:dd:ee",
        "std::vector<int> a::b",
        "Foo::Bar",
        "arn:aws:iam::123456789012:role/x",
        "select '1'::int",
        "00:11:22:ff:fe:33:44:55",
        "x = (a :: Int)",
    ],
)
def test_no_address(text: str) -> None:
    assert not found(text, NETWORK, "note")


@pytest.mark.parametrize("key", ["version", "firmware_version", "build"])
def test_version_by_its_key(key: str) -> None:
    assert not found("10.20.30.40", NETWORK, key)


def test_key_about_addresses_outweighs_the_version_of_a_protocol() -> None:
    assert found("10.20.30.40", NETWORK, "version", "ip")
    assert found("1.2.3.4", NETWORK, "client_ip")


@given(st.ip_addresses(v=6))
def test_every_ipv6_address_is_found_whole(address: IPv6Address) -> None:
    if any(character.isdecimal() for character in str(address)):
        assert ("IP_ADDRESS", str(address)) in found(f"ip {address}", NETWORK, "log")
        assert ("IP_ADDRESS", address.exploded) in found(f"ip {address.exploded}", NETWORK, "log")


@given(st.ip_addresses(v=4))
def test_every_ipv4_address_is_found_whole(address: IPv4Address) -> None:
    assert found(f"ip {address}", NETWORK, "log") == {("IP_ADDRESS", str(address))}


@given(st.text("0123456789abf:./% \n", max_size=60))
def test_whatever_is_found_lies_in_the_text(text: str) -> None:
    for _, value in found(text, NETWORK):
        assert value in text


@pytest.mark.parametrize("mac", ["00:1A:2B:3C:4D:5E", "0d-B3-4a-6A-d9-cF", "001a.2b3c.4d5e"])
def test_mac(mac: str) -> None:
    assert found(f"at {mac}, up", NETWORK, "log") == {("MAC_ADDRESS", mac)}


@pytest.mark.parametrize(
    "text",
    [
        "00:1A:2B:3C:4D",
        "FF:FF:FF:FF:FF:FF",
        "00-00-00-00-00-00",
        "ffff.ffff.ffff",
        "AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99",
        "1234.5678.9012",
        "10-20-30-40-50-60",
        "550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_no_mac(text: str) -> None:
    assert not found(text, NETWORK, "log")


def test_digits_alone_are_a_mac_where_a_word_says_so() -> None:
    assert found("mac 1234.5678.9012", NETWORK, "log") == {("MAC_ADDRESS", "1234.5678.9012")}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("see https://example.com/a?b=1&c=2.", "https://example.com/a?b=1&c=2"),
        ("http://microsoft.vlaanderen", "http://microsoft.vlaanderen"),
        ("(https://müller.example:8443/x)", "https://müller.example:8443/x"),
        ("http://" + "a." * 60 + "example.com/path", "http://" + "a." * 60 + "example.com/path"),
        ("microsoft.com", "microsoft.com"),
        ("at www.example.co.uk/path now", "www.example.co.uk/path"),
    ],
)
def test_url_in_a_lone_text_only(text: str, url: str) -> None:
    assert ("URL", url) in found(text, NETWORK)
    assert not found(text, NETWORK, "url")


def test_quoted_url_is_masked_with_its_quotes() -> None:
    assert ("URL", '"https://example.com/"') in found('"https://example.com/"', NETWORK)


@pytest.mark.parametrize(
    "text", ["http://microsoft", "http://localhost:8080/x", "." * 900, "report.final", "e.g. this", "foo.com(1)"]
)
def test_no_url(text: str) -> None:
    assert not found(text, NETWORK)
