"""Getting an issuer's documents, and asking its token endpoint."""

from collections.abc import Mapping
from typing import Protocol

import aiohttp

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""Uncompressed, and nothing else is read: what a compressed document comes to is known only once it is unpacked."""


class FetchFailed(Exception):
    """The document could not be had. Carries no text of the library or the server."""


class Fetcher(Protocol):
    """GETs one document.

    Returns the whole body of a 200 answer. Anything else (other status, redirect, too long, compressed, too slow, no
    connection) is FetchFailed. Never follows a redirect: the URL is the operator's choice and the trust anchor.
    """

    async def get(self, url: str) -> bytes: ...


class Poster(Protocol):
    """POSTs one urlencoded form.

    Returns status and whole body, whatever the status: an error has a code to read. Never follows a redirect, which
    would carry the client's secret elsewhere. FetchFailed where there is no answer, or one too long, compressed or too
    slow.
    """

    async def post(self, url: str, form: Mapping[str, str], authorization: str | None) -> tuple[int, bytes]: ...


class AiohttpFetcher:
    """Through a session that the caller owns and closes. `timeout`: seconds for the whole answer; `limit`: bytes."""

    def __init__(self, session: aiohttp.ClientSession, *, timeout: float = 5.0, limit: int = 256 * 1024) -> None:
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._limit = limit

    async def get(self, url: str) -> bytes:
        status, body = await self._request("GET", url, _HEADERS)
        if status != 200:
            raise FetchFailed("the issuer did not answer 200")
        return body

    async def post(self, url: str, form: Mapping[str, str], authorization: str | None) -> tuple[int, bytes]:
        headers = _HEADERS | ({"Authorization": authorization} if authorization is not None else {})
        return await self._request("POST", url, headers, dict(form))

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        try:
            async with self._session.request(
                method,
                url,
                data=form,
                timeout=self._timeout,
                allow_redirects=False,
                headers=headers,
                auto_decompress=False,
            ) as response:
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise FetchFailed("the issuer's document is compressed, which was not asked for")
                body = bytearray()
                async for chunk in response.content.iter_chunked(16 * 1024):
                    body += chunk
                    if len(body) > self._limit:
                        raise FetchFailed("the issuer's document is too long")
                return response.status, bytes(body)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            raise FetchFailed("the issuer cannot be reached") from None
