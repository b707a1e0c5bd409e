"""Webhooks: signed as the reference library verifies, to public addresses only."""

import base64
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from callgate.channel_settings import SlackSettings, WebhookSettings
from services.approval.outbound import PrivateTarget, PublicResolver, is_public
from services.approval.secret_files import SecretMissing, read_secret
from services.approval.webhooks import secret_bytes, signed


def now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


@given(st.binary(min_size=24, max_size=64), st.binary(min_size=24, max_size=64), st.text())
def test_the_reference_library_takes_the_signature_of_either_secret(old: bytes, new: bytes, text: str) -> None:
    body = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()
    headers = signed([old, new], "msg_1_soc", now(), body)
    for secret in (old, new):
        Webhook("whsec_" + base64.b64encode(secret).decode()).verify(body, headers, json_parse=False)
    other = Webhook("whsec_" + base64.b64encode(os.urandom(32)).decode())
    for verifier, changed in ((other, body), (Webhook("whsec_" + base64.b64encode(old).decode()), body + b" ")):
        with pytest.raises(WebhookVerificationError):
            verifier.verify(changed, headers, json_parse=False)


def test_a_weak_secret_is_none(tmp_path: Path) -> None:
    good = "whsec_" + base64.b64encode(b"x" * 24).decode()
    assert secret_bytes(good) == b"x" * 24
    for text in ("", "whsec_", good[6:], "whsec_" + base64.b64encode(b"x" * 23).decode(), "whsec_!!!", good + "é"):
        with pytest.raises(SecretMissing):
            secret_bytes(text)
    for content in (b"", b" \n", b"two words", b"\xff", b"x" * 20_000):
        (tmp_path / "secret").write_bytes(content)
        with pytest.raises(SecretMissing):
            read_secret(tmp_path / "secret")
    with pytest.raises(SecretMissing):
        read_secret(tmp_path / "none")


PRIVATE = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
    *("255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "2002:7f00:1::"),
    *("64:ff9b::a00:1", "2001:0:0:0:0:0:f5ff:fffe", "localhost", ""),
)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_in_every_spelling(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


class Names(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None: ...


async def test_a_name_with_one_private_address_is_refused() -> None:
    found = await PublicResolver(Names("8.8.8.8")).resolve("receiver.example", 443)
    assert [one["host"] for one in found] == ["8.8.8.8"]
    for addresses in (("8.8.8.8", "10.0.0.1"), ("::1",), ()):
        with pytest.raises(PrivateTarget):
            await PublicResolver(Names(*addresses)).resolve("receiver.example", 443)


HOOK = {"name": "soc", "url": "https://soc.example/hooks", "secret_files": ["s"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://soc.example/hooks"},
        {"url": "https://user:pw@soc.example/"},
        {"url": "https://soc.example/#f"},
        {"url": "ftp://soc.example/", "allow_private": True},
        {"url": "nothing"},
        {"name": "SOC"},
        {"name": "a.b"},
        {"secret_files": []},
        {"events": ["approval.unheard_of"]},
    ],
)
def test_settings_of_a_webhook(wrong: dict[str, Any]) -> None:
    WebhookSettings.model_validate(HOOK)
    with pytest.raises(ValidationError):
        WebhookSettings.model_validate(HOOK | wrong)


SLACK = {"token_file": "t", "signing_secret_file": "s", "channels": {"finance": "C024BE91L"}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"signing_secret_file": None},
        {"app_token_file": "a"},
        {"channels": {}},
        {"channels": {"finance": "#finance"}},
        {"api_url": "http://slack.example/api/"},
        {"people": [{"id": "fina", "groups": ["finance"]}]},
        {"people": [{"id": "fina", "groups": [], "user": "U1234"}]},
        {"people": [{"id": "fina", "groups": ["f"], "user": "U1234", "email": "f@example.com"}]},
        {"people": [{"id": name, "groups": ["f"], "user": "U1234"} for name in ("fina", "finn")]},
        {"people": [{"id": name, "groups": ["f"], "email": f"{name}@example.com"} for name in ("Fina", "fina")]},
    ],
)
def test_settings_of_slack(wrong: dict[str, Any]) -> None:
    SlackSettings.model_validate(SLACK)
    with pytest.raises(ValidationError):
        SlackSettings.model_validate(SLACK | wrong)
