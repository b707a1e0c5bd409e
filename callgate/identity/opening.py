"""Puts together what a service needs to know who asks: issuers, proofs, revocations."""

from dataclasses import dataclass

import aiohttp

from callgate.identity.authenticator import Authenticator
from callgate.identity.binding import Binding
from callgate.identity.fetch import AiohttpFetcher
from callgate.identity.used_proofs import JetStreamUsedProofs
from callgate.platform import Platform
from callgate.revocations import RevocationBook


@dataclass(frozen=True, slots=True)
class Identity:
    """Run `revocations.follow` in the background, and `close` at the end. `http` is for the issuers' documents."""

    authenticator: Authenticator
    revocations: RevocationBook
    http: aiohttp.ClientSession

    async def close(self) -> None:
        await self.authenticator.aclose()
        await self.http.close()


async def open_identity(platform: Platform) -> Identity:
    """Knows every revocation that was acknowledged before. BrokerAway; ValueError where no issuer is configured."""
    settings = platform.settings
    revocations = RevocationBook(platform.client, platform.records, platform.clock)
    await revocations.refresh()

    def clock() -> float:
        return platform.clock().timestamp()

    url = settings.public_url or f"http://{settings.listen}"
    mcp = settings.ingress.mcp.url
    addresses = {"/mcp": mcp} if mcp is not None else {}
    used = JetStreamUsedProofs(platform.client)
    binding = Binding(clock, used, url, settings.identity.client_certificate, addresses)
    http = aiohttp.ClientSession()
    authenticator = Authenticator(
        settings.identity.issuers,
        clock=clock,
        http=AiohttpFetcher(http),
        binding=binding,
        revoked=revocations.revoked,
    )
    return Identity(authenticator, revocations, http)
