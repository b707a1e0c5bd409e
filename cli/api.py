"""Callgate's public HTTP API as commands use it: JSON in and out, and every failure as one line of advice."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp

from callgate.errors import CallgateError
from cli.call_lines import standing
from cli.output import printable

_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5)
_LIMIT = 64 * 1024 * 1024
_ADVICE = {
    401: "give a valid token with --token, --token-file or CALLGATE_TOKEN",
    403: "ask somebody whom the policies name",
    429: "try again in a moment",
    503: "try again in a moment",
}
_ADVICE_ON = {
    "call_changed": "`callgate approvals` shows it as it is now",
    "outcome_known": "`callgate outcomes` lists what is still unknown",
    "breaks_schema": "`callgate functions` shows the arguments that each function takes",
    "no_glass_to_break": "`callgate approve` without --break-glass casts an ordinary vote",
    "not_an_operator": "ask one of their members",
    "unknown_freeze": "`callgate freezes` lists them",
    "unknown_function": "`callgate functions` lists them",
    "definition_changed": "`callgate functions changes` shows it as it is now",
    "unknown_parameter": "`callgate functions` lists each function's, and those that are masked take no condition",
    "unknown_grant": "`callgate grants` lists them",
    "unknown_revocation": "`callgate revocations` lists them",
}
_LISTED_BY = {
    "/v1/approvals/": "`callgate approvals` lists the calls that wait for you",
    "/v1/outcomes/": "`callgate outcomes` lists the calls for you to settle",
    "/v1/notices/": "`callgate notices deliveries` lists them",
}
"""What shows the ids that there are, by the path that was asked for one."""
_FOR_PROGRAMS = re.compile(
    r"(?:^|[.;] +)[^.;]*(?:\b(?:GET|POST|DELETE) /v1/|\b[Ss]end the header )[^;]*?(?=[.;] |[.;]?$)"
)
"""The part of a detail that tells what to ask of the API: those at a terminal are told a command."""


class Refused(CallgateError):
    """Callgate answered with a problem document; `detail` ends with what to do next."""

    def __init__(self, status: int, code: str, detail: str, retry_after: float | None, path: str) -> None:
        advice = _ADVICE_ON.get(code) or _ADVICE.get(status)
        if code == "not_found":
            advice = next((command for start, command in _LISTED_BY.items() if path.startswith(start)), advice)
        if advice:
            detail = _FOR_PROGRAMS.sub("", detail)
        super().__init__(code, f"{detail.rstrip('.') or code} ({code}){f'; {advice}' if advice else ''}")
        self.status = status
        self.retry_after = retry_after
        """Seconds, where Callgate named them."""


class Away(CallgateError):
    """No Callgate answers there."""


class Api:
    """`async with Api(url, token) as api: await api.get("/v1/approvals")`. Raises Refused, or Away."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        return await self._request("GET", path, params=dict(parameters or {}))

    async def get_changed(self, path: str, parameters: Mapping[str, str], tag: str | None) -> tuple[Any, str | None]:
        """The document and its tag; None where it is still that of the tag given."""
        headers = {"If-None-Match": tag} if tag else {}
        return await self._exchange("GET", path, params=dict(parameters), headers=headers)

    async def post(self, path: str, body: Any) -> Any:
        return await self._request("POST", path, json=body)

    async def delete(self, path: str) -> Any:
        return await self._request("DELETE", path)

    async def _request(self, method: str, path: str, **more: Any) -> Any:
        document, _ = await self._exchange(method, path, **more)
        return document

    async def _exchange(self, method: str, path: str, **more: Any) -> tuple[Any, str | None]:
        """The document, None where it did not change, and its tag."""
        if self._session is None:
            raise RuntimeError("use it as `async with Api(…)`")
        try:
            # A redirect is not followed: the token is for this address alone.
            async with self._session.request(method, self._url + path, allow_redirects=False, **more) as response:
                document, tag = _document(await _read(response)), response.headers.get("ETag")
                if response.status == HTTPStatus.NOT_MODIFIED and "If-None-Match" in more.get("headers", {}):
                    return None, tag
                if response.status < 300:
                    if document is None:
                        raise Away("not_callgate", f"{self._url} does not answer like Callgate; check --url")
                    return document, tag
                raise _refused(response, document)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            # These texts may quote the request; the address says enough.
            raise Away(
                "unreachable", f"no Callgate answers at {self._url}; does `callgate up` run? Name another with --url"
            ) from None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > _LIMIT:
            raise Away("too_large", "the answer is too large to be Callgate's; check --url")
    return bytes(body)


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _refused(response: aiohttp.ClientResponse, document: Any) -> CallgateError:
    if not isinstance(document, dict) or not isinstance(document.get("code"), str):
        return Away(
            "not_callgate", f"{response.url.origin()} answers {response.status}, not like Callgate; check --url"
        )
    after = response.headers.get("Retry-After", "")
    detail = printable(str(document.get("detail") or ""))
    problems = [one for one in document.get("problems") or () if isinstance(one, dict)]
    if problems:
        places = (f"{one.get('pointer')} ({one.get('keyword')})" for one in problems)
        detail = f"{detail.rstrip('.')}: {printable(', '.join(places))}"
    state, status = document.get("state"), document.get("call_status")
    if isinstance(state, str):
        detail = f"{detail.rstrip('.')}; it is {printable(standing(state, status))} now"
    retry_after = float(after) if after.isdecimal() else None
    return Refused(response.status, printable(document["code"]), detail, retry_after, response.url.path)
