"""Addresses as people write them in settings and options. Every ValueError says what to write instead."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_URL = re.compile(r"https?://[^\s/?#@\\]+(/[^\s?#\\]*)?")
_SERVER = re.compile(r"(nats|tls)://[^\s,/]+/?")


def host_and_port(text: str) -> tuple[str, int]:
    """`127.0.0.1:8080` or `[::1]:8080`; without a host, loopback. ValueError."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be host:port with a port from 0 (a free one) to 65535, e.g. 127.0.0.1:8080")
    if (":" in bare) != (host != bare) or re.search(r"[\s/\[\]]", bare):
        raise ValueError("must be host:port, e.g. 127.0.0.1:8080, or [::1]:8080 for an IPv6 address")
    return bare or "127.0.0.1", int(port)


def listen_address(value: object) -> str:
    """The value, if it is `host:port`. ValueError."""
    text = value if isinstance(value, str) else ""
    host_and_port(text)
    return text


def http_url(text: str) -> str:
    """The text, if it is the URL of an HTTP server. ValueError."""
    if not _URL.fullmatch(text):
        raise ValueError("must be a URL, http(s)://host[:port][/path], without user, query or fragment")
    return text


def nats_servers(text: str) -> str:
    """The text, if it names NATS servers. ValueError."""
    if not all(_SERVER.fullmatch(server.strip()) for server in text.split(",")):
        raise ValueError("must be nats://host:port, or tls://host:port; several with commas")
    return text


Listen = Annotated[str, BeforeValidator(listen_address)]
"""`host:port`; port 0 takes a free one."""
Url = Annotated[str, AfterValidator(http_url)]
