"""Posting to receivers on the internet: public addresses alone unless the settings allow others, and no redirect."""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from services.approval.channels import SendFailed

_LONGEST_WAIT = 3600.0
"""Seconds of a Retry-After that are heeded."""
_GONE = 410
"""The receiver wants no more of it: so says the Standard Webhooks specification."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class PrivateTarget(OSError):
    """The name of a receiver leads to an address that is no public one."""


def is_public(address: str) -> bool:
    """Whether an address may be connected to for a receiver on the internet."""
    try:
        ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        # Ways to write an IPv4 address in an IPv6 one: what counts is where the packets go.
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast


class PublicResolver(AbstractResolver):
    """Gives public addresses only. The connection goes to what it gives, so nothing is resolved a second time."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not found or not all(is_public(one["host"]) for one in found):
            raise PrivateTarget
        return found

    async def close(self) -> None:
        await self._inner.close()


class Outbound:
    """Posts for one medium, whose name begins the codes of what fails. Close it in the end."""

    def __init__(self, medium: str) -> None:
        self._medium = medium
        self._public = _session(PublicResolver(ThreadedResolver()))
        self._private = _session(ThreadedResolver())

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, allow_private: bool, seconds: float
    ) -> int:
        """The receiver's 2xx. SendFailed."""
        try:
            status, after = await asyncio.wait_for(self._post(url, headers, body, allow_private), seconds)
        except PrivateTarget:
            raise self._failed("private_target", final=True) from None
        except TimeoutError:
            raise self._failed("timeout") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, PrivateTarget):
                raise self._failed("private_target", final=True) from None
            raise self._failed("unreachable") from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise self._failed("unreachable") from None
        if 200 <= status < 300:
            return status
        word = "redirected" if 300 <= status < 400 else "refused"
        raise self._failed(word, status=status, after=after, final=status == _GONE)

    async def close(self) -> None:
        await self._public.close()
        await self._private.close()

    async def _post(
        self, url: str, headers: Mapping[str, str], body: bytes, allow_private: bool
    ) -> tuple[int, float | None]:
        host = urlsplit(url).hostname or ""
        if not allow_private and _is_address(host) and not is_public(host):
            raise PrivateTarget  # an address is never resolved
        http = self._private if allow_private else self._public
        # No redirect: it could lead to where the settings did not say. What the receiver answers is not read.
        async with http.post(URL(url, encoded=True), data=body, headers=headers, allow_redirects=False) as answer:
            after = answer.headers.get("Retry-After", "")
            pause = min(float(after), _LONGEST_WAIT) if after.isascii() and after.isdigit() else None
            return answer.status, pause

    def _failed(
        self, word: str, *, status: int | None = None, after: float | None = None, final: bool = False
    ) -> SendFailed:
        return SendFailed(f"{self._medium}_{word}", status=status, after=after, final=final)


def _session(resolver: AbstractResolver) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit=64, limit_per_host=8)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
