"""Where the door is, under which names it may be reached, and what a client without a token is told. Pure.

A web page can have its own host name lead to this machine and then ask as if it were at home (DNS rebinding), so names
in `Host` and `Origin` that are not known are refused.
"""

import contextlib
import re
from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from callgate.addresses import host_and_port
from callgate.http import Problem
from callgate.identity.errors import Unauthenticated
from callgate.ingress_settings import McpSettings

PATH = "/mcp"
METADATA = "/.well-known/oauth-protected-resource"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?:(?P<name>[a-z0-9._~-]+)|\[(?P<address>[0-9a-f:.]+)\])(?::[0-9]*)?")


class Address:
    """The door's address. `public_url` and `listen` are those of all doors."""

    def __init__(self, settings: McpSettings, public_url: str | None, listen: str, issuers: Sequence[str]) -> None:
        self._settings = settings
        self._url = settings.url or (public_url.rstrip("/") + PATH if public_url else None)
        known = {urlsplit(url).hostname for url in (self._url, public_url) if url}
        self._hosts = {host for host in (*known, host_and_port(listen)[0]) if host} | _LOOPBACK | set(settings.hosts)
        self._origins = {origin.rstrip("/").lower() for origin in settings.origins}
        self._origins |= {origin_of(url) for url in (self._url, public_url) if url}
        self._issuers = tuple(issuers)

    def check(self, headers: Headers) -> None:
        """Problem 421 or 403 for a name that is not ours."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0].lower()):
            detail = "This name is not known here as Callgate's; name it under `ingress.mcp.hosts`."
            raise Problem(421, "unknown_host", detail)
        for origin in headers.getlist("origin"):
            if not self._may_ask(origin.lower()):
                detail = "Web pages of this origin may not ask here; name it under `ingress.mcp.origins`."
                raise Problem(403, "unknown_origin", detail)

    def url(self, headers: Headers) -> str:
        """The door's public address; where none is configured, at the (known) host that was asked."""
        return self._url or f"http://{headers['host']}{PATH}"

    def metadata(self, headers: Headers) -> dict[str, Any]:
        """OAuth 2.0 Protected Resource Metadata (RFC 9728): who gives out tokens for this door."""
        return {
            "resource": self.url(headers),
            "authorization_servers": list(self._issuers),
            "scopes_supported": list(self._settings.scopes),
            "bearer_methods_supported": ["header"],
            "resource_name": "Callgate",
        }

    def challenge(self, error: Unauthenticated, headers: Headers) -> str:
        """`WWW-Authenticate` with where the metadata is and what scope to ask for (RFC 9728 section 5.1)."""
        parts = urlsplit(self.url(headers))
        more = [f'resource_metadata="{parts.scheme}://{parts.netloc}{METADATA}{parts.path}"']
        if self._settings.scopes:
            more.append(f'scope="{" ".join(self._settings.scopes)}"')
        return f"{error.challenge}{',' if '=' in error.challenge else ''} {', '.join(more)}"

    def _is_ours(self, host: str) -> bool:
        name = _name(host)  # also where any will do: the answer quotes it
        return name is not None and not self._hosts.isdisjoint(("*", host, name))

    def _may_ask(self, origin: str) -> bool:
        scheme, _, host = origin.partition("://")
        return origin in self._origins or (scheme in ("http", "https") and _name(host) in _LOOPBACK)


def origin_of(url: str) -> str:
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc}"


def _name(host: str) -> str | None:
    """The name in `name:port`, `name` or `[::1]:port`, in lower case; None for anything stranger."""
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    name, address = match["name"], match["address"]
    if name is not None:
        return name
    with contextlib.suppress(ValueError):
        IPv6Address(address)
        return address
    return None
