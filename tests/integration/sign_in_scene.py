"""The reviewers' pages and the development issuer, wired as `callgate up` does, and a browser that walks between."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from approval_scene import CONNECTIONS, POLICIES, eventually
from deployment import running_deployment
from doors import AUDIENCE, token_issuer
from yarl import URL

from callgate.cedar.policies import digest_of
from callgate.delivery import now
from callgate.host import bind, run_services
from cli.dev_issuer import CLIENT_ID, DevIssuer
from contracts.identity import Role
from contracts.records import PolicySetPublished
from contracts.subjects import POLICY_SET_SUBJECT
from services.approval.app import build


@dataclass(frozen=True, slots=True)
class Doors:
    url: str
    issuer: DevIssuer

    async def ready(self) -> bool | None:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/health") as answer:
            return True if answer.status == 200 else None


@contextlib.asynccontextmanager
async def signing_in(folder: Path, **approval: Any) -> AsyncIterator[Doors]:
    """Ready for people; `approval` is that section of the settings."""
    listener = bind("127.0.0.1:0")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with token_issuer(folder) as issuer:
        client = {"client_id": CLIENT_ID, "name": "development", "label": "the development issuer"}
        overrides = {
            "identity": {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE, "sign_in": client}]},
            "connections": CONNECTIONS,
            "public_url": url,
            "approval": {"secure_cookies": False, **approval},
        }
        async with (
            running_deployment(folder, overrides=overrides) as here,
            here.platform(Role.POLICY) as policy,
            here.platform(Role.APPROVAL) as platform,
            run_services([(platform, build)], listener) as (url, _),
        ):
            files = {"policies.cedar": POLICIES}
            published = PolicySetPublished(policy_set=digest_of(files), files=files)
            await policy.records.publish(POLICY_SET_SUBJECT, published, now())
            doors = Doors(url, issuer)
            await eventually(doors.ready)
            yield doors


@dataclass(frozen=True, slots=True)
class Page:
    url: URL
    status: int
    text: str
    headers: Any


class Wanderer:
    """A browser without a screen: keeps cookies by host and path, sends the Origin with forms, follows when told."""

    def __init__(self, doors: Doors) -> None:
        self.doors = doors
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> "Wanderer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def get(self, url: str, follow: bool = True) -> Page:
        async with self.http.get(self._absolute(url), allow_redirects=follow) as answer:
            return Page(answer.url, answer.status, await answer.text(), answer.headers)

    async def post(self, url: str, form: dict[str, str], follow: bool = True, origin: str | None = None) -> Page:
        target = self._absolute(url)
        headers = {"Origin": origin or "{0.scheme}://{0.netloc}".format(urlsplit(target))}
        async with self.http.post(target, data=form, headers=headers, allow_redirects=follow) as answer:
            return Page(answer.url, answer.status, await answer.text(), answer.headers)

    async def to_issuer(self, next: str = "/approvals") -> dict[str, str]:
        """The fields that the issuer's page would send, but for who."""
        page = await self.get(f"/approvals/sign-in/development?next={next}")
        assert page.text.count("Sign in as") > 1
        return hidden_fields(page.text)

    async def answer(self, sub: str = "rosa", next: str = "/approvals") -> URL:
        """Where the issuer sends the browser that signed in as somebody."""
        fields = await self.to_issuer(next)
        page = await self.post(f"{self.doors.issuer.url}/authorize", {**fields, "sub": sub}, follow=False)
        assert page.status == 303, page.text
        return URL(page.headers["location"], encoded=True)

    async def sign_in(self, sub: str = "rosa", next: str = "/approvals") -> Page:
        return await self.get(str(await self.answer(sub, next)))

    def _absolute(self, url: str) -> str:
        return url if url.startswith("http") else self.doors.url + url


def hidden_fields(html: str) -> dict[str, str]:
    """Of the first form that has any."""
    found: list[dict[str, str]] = []

    class Forms(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            if tag == "form":
                found.append({})
            if tag == "input" and given.get("type") == "hidden":
                found[-1][given["name"] or ""] = given["value"] or ""

    Forms().feed(html)
    return next(form for form in found if form)
