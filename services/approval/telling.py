"""Puts the channels together from the settings: what `services/approval/app.py` hooks in."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from fastapi import APIRouter

from callgate.cedar.published import PublishedPolicies
from callgate.channel_settings import SlackSettings
from callgate.delivery import RawHandler
from callgate.identity.authenticator import Authenticator
from callgate.identity.settings import IssuerSettings
from callgate.identity.used_proofs import JetStreamUsedProofs
from callgate.platform import Platform
from callgate.streams import APPROVAL_NOTICES, APPROVAL_SENDS
from contracts.identity import Principal
from contracts.subjects import deliver_subject
from services.approval.channels import Channels, Medium
from services.approval.handlers import Deciding
from services.approval.history import History
from services.approval.mail import Mail
from services.approval.notice_routes import notice_routes
from services.approval.slack import Slack
from services.approval.slack_api import SlackApi, slack_session
from services.approval.slack_interactions import KEPT, Interactions, SocketMode, interaction_routes
from services.approval.slack_messages import Messages
from services.approval.teams import Teams
from services.approval.views import Views
from services.approval.webhooks import Webhooks

logger = logging.getLogger("services.approval")

_DRAIN = 5.0
"""Seconds for votes that were pressed in Slack to be cast."""
_NO_TOKEN = datetime.max.replace(tzinfo=UTC)
"""When somebody proved who they are who shows no token: a revocation of the tokens so far, which counts for those of an
issuer whose clock is ahead, ends none of them."""

Background = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Hooked:
    """What the channels add to the service, once approval itself is there."""

    routers: tuple[APIRouter, ...]
    background: tuple[Background, ...]
    close: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Telling:
    """The channels of the settings; `channels` is what approval tells, `deliveries` what they are told by the log."""

    channels: Channels
    deliveries: Mapping[str, RawHandler]
    _platform: Platform
    _http: aiohttp.ClientSession
    _slack: tuple[SlackSettings, SlackApi] | None
    _webhooks: Webhooks
    _teams: Teams | None
    _mail: Mail | None
    _ended: Callable[[Principal], bool]

    def hook(self, approval: Deciding, authenticator: Authenticator) -> Hooked:
        """What lets people answer, but for those whose identity is revoked."""
        settings = self._platform.settings.approval
        operators = frozenset(settings.operators)
        routers = [notice_routes(self.channels, authenticator, operators)]
        background: list[Background] = []
        drain: list[Interactions] = []
        if self._slack is not None:
            slack, api = self._slack
            interactions = Interactions(slack, api, approval, self._platform.clock, self._ended)
            drain.append(interactions)
            if slack.app_token_file is not None:
                background.append(SocketMode(interactions, api, slack.app_token_file).keep)
            elif slack.signing_secret_file is not None:
                used = JetStreamUsedProofs(self._platform.client, KEPT)
                routers.append(interaction_routes(interactions, slack.signing_secret_file, self._platform.clock, used))

        async def close() -> None:
            for interactions in drain:
                await interactions.drain(_DRAIN)
            await self._webhooks.close()
            if self._teams is not None:
                await self._teams.close()
            if self._mail is not None:
                self._mail.close()
            await self._http.close()

        return Hooked(tuple(routers), tuple(background), close)


def telling(
    platform: Platform,
    views: Views,
    policies: PublishedPolicies,
    history: History,
    ended: Callable[[Principal], bool],
) -> Telling:
    """`ended` says whether an identity is revoked. Every secret was looked for before (`channel_secrets.lacking`)."""
    settings, issuers = platform.settings.approval, platform.settings.identity.issuers
    public_url = platform.settings.public_url or f"http://{platform.settings.listen}"
    http = slack_session()
    webhooks = Webhooks(settings.webhooks, platform.clock, public_url, platform.settings.deployment)
    media: list[Medium] = [webhooks] if settings.webhooks else []
    teams = Teams(settings.teams, policies, public_url) if settings.teams is not None else None
    if teams is not None:
        media.append(teams)
    mail = None
    if settings.email is not None:
        mail = Mail(settings.email, policies, platform.clock, public_url, identities_at(issuers), ended)
        media.append(mail)
    slack = None
    if settings.slack is not None:
        api = SlackApi(settings.slack, http)
        slack = settings.slack, api
        media.append(
            Slack(
                settings.slack,
                api,
                Messages(api, platform.client, platform.log, platform.records, platform.clock),
                platform.records,
                views,
                policies,
                history,
                platform.clock,
                public_url,
            )
        )
    unheard = settings.unheard
    if unheard is not None:
        logger.warning("nobody may hear of outcomes that nobody knows", extra={"advice": unheard})
    channels = Channels(media, settings.settlers, platform.log, platform.records, platform.verifier, platform.clock)
    deliveries = {
        deliver_subject(APPROVAL_NOTICES): channels.on_event,
        deliver_subject(APPROVAL_SENDS): channels.on_due,
    }
    return Telling(channels, deliveries, platform, http, slack, webhooks, teams, mail, at_any_issuer(issuers, ended))


def at_any_issuer(issuers: Sequence[IssuerSettings], ended: Callable[[Principal], bool]) -> Callable[[Principal], bool]:
    """Slack is told who somebody is at whichever issuer, so a revocation of them at any of ours counts there."""

    def ended_anywhere(person: Principal) -> bool:
        names = (person.issuer, *(one.issuer for one in issuers))
        return any(ended(person.model_copy(update={"issuer": one, "authenticated_at": _NO_TOKEN})) for one in names)

    return ended_anywhere


def identities_at(issuers: Sequence[IssuerSettings]) -> Callable[[str], list[Principal]]:
    """Whom an address stands for at each issuer, where that names people by their addresses."""

    def found(address: str) -> list[Principal]:
        return [
            Principal(id=f"{one.subject_prefix}{address}", issuer=one.issuer, authenticated_at=_NO_TOKEN)
            for one in issuers
        ]

    return found
