"""Slack's Web API as one bot, with its refusals in our own words."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from callgate.channel_settings import SlackSettings
from callgate.identity.settings import is_loopback
from services.approval.channels import SendFailed
from services.approval.secret_files import SecretMissing, read_secret

TIMEOUT = 10
_LIMIT = 4 * 1024 * 1024
"""Bytes of an answer, unpacked. A page of a channel's history has some hundred KB."""
CODE_PREFIX = "slack_"
_KNOWN_ERRORS = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope"}
    | {"channel_not_found", "not_in_channel", "is_archived", "restricted_action", "ratelimited", "rate_limited"}
    | {"invalid_blocks", "msg_too_long", "message_not_found", "cant_update_message", "users_not_found"}
    | {"thread_not_found", "user_not_found", "trigger_expired", "expired_trigger_id", "internal_error", "fatal_error"}
)
_FINAL = frozenset({"invalid_blocks", "msg_too_long"})


def silent_logger() -> logging.Logger:
    """For the library, which logs payloads and other people's error texts."""
    silent = logging.getLogger("services.approval.slack.sdk")
    silent.setLevel(logging.CRITICAL + 1)
    return silent


class _Bounded(aiohttp.ClientResponse):
    """An answer read up to the limit. The SDK asks for all of it, and aiohttp unpacks what is compressed."""

    async def read(self) -> bytes:
        if self._body is None:  # where `text` and `json` look as well
            body = bytearray()
            async for chunk in self.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > _LIMIT:
                    self.close()
                    raise aiohttp.ClientPayloadError("the answer is too long")
            self._body = bytes(body)
        return self._body


def slack_session() -> aiohttp.ClientSession:
    """What `SlackApi` sends with; the caller closes it."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout, response_class=_Bounded)


class SlackApi:
    """Slack's Web API as one bot, its token read for every call. SendFailed from all, with Slack's own error code."""

    def __init__(self, settings: SlackSettings, http: aiohttp.ClientSession) -> None:
        self._token_file: Path = settings.token_file
        self.client = AsyncWebClient(base_url=settings.api_url, timeout=TIMEOUT, session=http, logger=silent_logger())
        self.client.retry_handlers = []  # attempts and their pauses are on record, not in memory
        if is_loopback(urlsplit(settings.api_url).hostname or ""):
            self.client.proxy = None
        self._team: str | None = None

    async def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """A method that takes JSON."""
        return await self._request(method, json=arguments)

    async def read(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """A method that takes a form only."""
        return await self._request(method, data=arguments)

    async def _request(self, method: str, **body: Any) -> Mapping[str, Any]:
        try:
            self.client.token = read_secret(self._token_file)
            answer = await self.client.api_call(method, **body)
        except SecretMissing:
            raise SendFailed("slack_token_missing") from None
        except SlackClientError as error:
            raise _failure(getattr(error, "response", None)) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            raise SendFailed("slack_unreachable") from None
        return answer.data if isinstance(answer.data, dict) else {}

    async def team(self) -> str:
        """The id of the bot's own workspace."""
        if self._team is None:
            self._team = str((await self.call("auth.test")).get("team_id", ""))
        return self._team


def _failure(response: Any) -> SendFailed:
    """Slack's refusal in our words: its error codes are a closed set, and anything else is `slack_error`."""
    status, data, headers = (getattr(response, name, None) for name in ("status_code", "data", "headers"))
    code = data.get("error") if isinstance(data, dict) else None
    known = code if isinstance(code, str) and code in _KNOWN_ERRORS else "error"
    after = (headers or {}).get("Retry-After", "")
    pause = min(float(after), 3600.0) if after.isascii() and after.isdigit() else None
    if status == 429:
        known = "ratelimited"
    return SendFailed(
        f"{CODE_PREFIX}{known}", status=status if isinstance(status, int) else None, after=pause, final=code in _FINAL
    )
