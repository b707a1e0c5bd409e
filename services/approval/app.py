"""Puts approval together. What it does with which event is the table at the end."""

import time

import aiohttp
from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from callgate.cedar.published import PublishedPolicies
from callgate.control import FreezeBook, GrantBook
from callgate.errors import ConfigurationError
from callgate.identity.authenticator import Authenticator
from callgate.identity.fetch import AiohttpFetcher
from callgate.platform import Platform
from callgate.service import Service
from callgate.settings import Settings
from callgate.streams import APPROVAL_TIMERS
from contracts.identity import Role
from contracts.subjects import deliver_subject
from services.approval.frame import Pages
from services.approval.freeze_routes import freeze_routes
from services.approval.freezing import Freezing
from services.approval.grant_routes import grant_routes
from services.approval.granting import Granting
from services.approval.handlers import Approval
from services.approval.history import History
from services.approval.looks import Looks
from services.approval.pages import page_routes
from services.approval.routes import api_routes
from services.approval.sessions import Sessions
from services.approval.sign_in import sign_in_routes
from services.approval.telling import telling
from services.approval.timers import Timers
from services.approval.views import Views
from services.approval.waiting import Waiting


async def build(platform: Platform) -> Service:
    settings = platform.settings
    if not settings.identity.issuers:
        raise ConfigurationError("no_issuer", "identity.issuers is empty, so nobody could ever vote; name an issuer")
    policies = PublishedPolicies(platform.records, platform.catalog)
    waiting = Waiting(platform.client, platform.log, platform.verifier, platform.partitions)
    views = Views(platform.client, platform.verifier, platform.sealer)
    history = History(platform.client, platform.log, platform.verifier, platform.partitions)
    told = telling(platform, views, policies, history)
    approval = Approval(
        log=platform.log,
        sealer=platform.sealer,
        policies=policies,
        catalog=platform.catalog,
        timers=Timers(platform.client),
        notices=told.channels,
        waiting=waiting,
        partitions=platform.partitions,
        clock=platform.clock,
        sweep_every=settings.approval.sweep_every,
    )
    freezes = FreezeBook(platform.client, platform.records, platform.clock)
    await freezes.refresh()
    granting = Granting(
        records=platform.records,
        sealer=platform.sealer,
        book=GrantBook(platform.client, platform.records, platform.clock),
        policies=policies,
        catalog=platform.catalog,
        clock=platform.clock,
    )
    freezing = Freezing(
        log=platform.log,
        records=platform.records,
        sealer=platform.sealer,
        book=freezes,
        waiting=waiting,
        policies=policies,
        catalog=platform.catalog,
        clock=platform.clock,
    )
    http = aiohttp.ClientSession()
    authenticator = Authenticator(settings.identity.issuers, clock=time.time, http=AiohttpFetcher(http))
    hooked = told.hook(approval, authenticator)
    looks = Looks(platform.records, platform.clock)
    sessions = Sessions(authenticator, settings.approval.secure_cookies, settings.public_url)
    pages = Pages(policies, platform.clock, _development_issuer(settings))

    def ready() -> str | None:
        if not waiting.is_ready:
            return "reading what waits"
        return None if policies.current is not None else "no policy set in force"

    async def close() -> None:
        await hooked.close()
        await authenticator.aclose()
        await http.close()

    return Service(
        role=Role.APPROVAL,
        events={"approval_required": approval.on_approval_required, "vote_cast": approval.on_vote_cast},
        deliveries={deliver_subject(APPROVAL_TIMERS): approval.on_timer_due, **told.deliveries},
        routers=(
            _front_door(),
            api_routes(approval, views, looks, authenticator),
            freeze_routes(freezing, platform.catalog, authenticator),
            grant_routes(granting, approval, platform.catalog, authenticator),
            sign_in_routes(sessions, pages),
            page_routes(approval, views, looks, sessions, pages),
            *hooked.routers,
        ),
        background=(
            policies.follow,
            waiting.follow,
            history.follow,
            approval.keep_time,
            freezing.keep,
            *hooked.background,
        ),
        ready=ready,
        close=close,
    )


def _development_issuer(settings: Settings) -> str | None:
    """Where `callgate up` serves development tokens; it is the last of the issuers then."""
    if settings.development is None or settings.development.issuer is None:
        return None
    return settings.identity.issuers[-1].issuer


def _front_door() -> APIRouter:
    """A person who opens the bare address wants the page."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", lambda: RedirectResponse("/approvals", 307), methods=["GET"])
    return router
