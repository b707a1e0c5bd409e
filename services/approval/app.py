"""Puts approval together. What it does with which event is the table at the end."""

from datetime import timedelta

from fastapi import APIRouter
from fastapi.responses import RedirectResponse

from callgate.cedar.published import PublishedPolicies
from callgate.control import FreezeBook, GrantBook
from callgate.errors import ConfigurationError
from callgate.identity.fetch import AiohttpFetcher
from callgate.identity.opening import open_identity
from callgate.platform import Platform
from callgate.service import Service
from callgate.streams import APPROVAL_TIMERS
from contracts.identity import Role
from contracts.subjects import deliver_subject
from services.approval.amending import Amending
from services.approval.changes import Changes
from services.approval.channel_secrets import lacking
from services.approval.cookies import Cookies
from services.approval.frame import Pages
from services.approval.freeze_routes import freeze_routes
from services.approval.freezing import Freezing
from services.approval.grant_routes import grant_routes
from services.approval.granting import Granting
from services.approval.handlers import Deciding
from services.approval.history import History
from services.approval.in_force import InForce
from services.approval.looks import Looks
from services.approval.masked_inputs import MaskedInputs
from services.approval.outcome_routes import outcome_routes
from services.approval.pages.parts import Parts
from services.approval.pages.routes import page_routes
from services.approval.people import Rights
from services.approval.repository import Approvals
from services.approval.revocation_routes import revocation_routes
from services.approval.revoking import Revoking
from services.approval.routes import api_routes
from services.approval.sessions import Sessions
from services.approval.settling import Settling
from services.approval.sign_in import Desk, Ways, clients_of, sign_in_routes
from services.approval.telling import telling
from services.approval.timers import Timers
from services.approval.tool_change_routes import tool_change_routes
from services.approval.tool_changes import ToolChanges
from services.approval.views import Views
from services.approval.waiting import QUESTIONS, UNSETTLED, Waiting


async def build(platform: Platform) -> Service:
    settings = platform.settings
    if not settings.identity.issuers:
        raise ConfigurationError("no_issuer", "identity.issuers is empty, so nobody could ever vote; name an issuer")
    clients = clients_of(settings)
    for error in lacking(settings.approval):
        raise error
    policies = PublishedPolicies(platform.records, platform.catalog)
    changes = Changes()
    waiting = Waiting(
        QUESTIONS,
        platform.client,
        platform.log,
        platform.verifier,
        platform.partitions,
        lambda question: changes.tell(question.ref, question.concerned),
    )
    views = Views(platform.client, platform.verifier, platform.sealer)
    history = History(platform.client, platform.log, platform.verifier, platform.partitions)
    identity = await open_identity(platform)
    authenticator, fetcher = identity.authenticator, AiohttpFetcher(identity.http)
    told = telling(platform, views, policies, history, identity.revocations.ended)
    approvals = Approvals(platform.log)
    rights = Rights(policies, platform.catalog, MaskedInputs(views, platform.catalog), platform.clock)
    unsettled = Waiting(
        UNSETTLED,
        platform.client,
        platform.log,
        platform.verifier,
        platform.partitions,
        lambda outcome: changes.tell(outcome.ref, None),
    )
    settling = Settling(approvals, platform.sealer, rights, unsettled, platform.clock)
    amending = Amending(approvals, platform.sealer, rights, views, waiting, platform.catalog, platform.clock)
    approval = Deciding(
        approvals=approvals,
        sealer=platform.sealer,
        rights=rights,
        timers=Timers(platform.client),
        notices=told.channels,
        waiting=waiting,
        clock=platform.clock,
        sweep_every=settings.approval.sweep_every,
    )
    freezes = FreezeBook(platform.client, platform.records, platform.clock)
    await freezes.refresh()
    grants = GrantBook(platform.client, platform.records, platform.clock)
    granting = Granting(
        records=platform.records,
        sealer=platform.sealer,
        book=grants,
        policies=policies,
        catalog=platform.catalog,
        clock=platform.clock,
    )
    freezing = Freezing(
        approvals=approvals,
        records=platform.records,
        sealer=platform.sealer,
        book=freezes,
        waiting=waiting,
        policies=policies,
        catalog=platform.catalog,
        clock=platform.clock,
    )
    revoking = Revoking(
        records=platform.records,
        sealer=platform.sealer,
        book=identity.revocations,
        policies=policies,
        catalog=platform.catalog,
        clock=platform.clock,
        leeways={issuer.issuer: issuer.leeway for issuer in settings.identity.issuers},
    )
    tool_changes = ToolChanges(platform.catalog, platform.records, policies, platform.clock)
    hooked = told.hook(approval, authenticator)
    looks = Looks(platform.records, platform.clock)
    ways = Ways(clients, settings, fetcher)
    cookies = Cookies(platform.sealer, platform.clock, settings.approval.secure_cookies)
    sessions = Sessions(
        cookies,
        frozenset(issuer.issuer for issuer in settings.identity.issuers),
        timedelta(hours=settings.approval.session_hours),
        platform.clock,
        settings.public_url,
        identity.revocations.ended,
    )
    shared = {
        "ways": ways.shown,
        "paste": ways.paste,
        "session_hours": f"{settings.approval.session_hours:g}",
    }
    pages = Pages(policies, platform.clock, shared)

    parts = Parts(
        pages=pages,
        sessions=sessions,
        approvals=approvals,
        deciding=approval,
        amending=amending,
        settling=settling,
        views=views,
        looks=looks,
        history=history,
        granting=granting,
        freezing=freezing,
        catalog=platform.catalog,
        changes=changes,
    )

    def ready() -> str | None:
        if not (waiting.is_ready and unsettled.is_ready):
            return "reading what waits"
        return None if policies.current is not None else "no policy set in force"

    async def close() -> None:
        await hooked.close()
        await ways.aclose()
        await identity.close()

    return Service(
        role=Role.APPROVAL,
        events={"approval_required": approval.on_approval_required, "vote_cast": approval.on_vote_cast},
        deliveries={deliver_subject(APPROVAL_TIMERS): approval.on_timer_due, **told.deliveries},
        routers=(
            _front_door(),
            api_routes(approval, amending, views, looks, changes, authenticator),
            outcome_routes(settling, views, looks, authenticator),
            freeze_routes(freezing, history, platform.catalog, authenticator),
            grant_routes(granting, approval, platform.catalog, authenticator),
            revocation_routes(revoking, authenticator),
            tool_change_routes(tool_changes, authenticator),
            sign_in_routes(Desk(ways, sessions, cookies, authenticator, pages)),
            *page_routes(parts),
            *hooked.routers,
        ),
        background=(
            policies.follow,
            waiting.follow,
            unsettled.follow,
            history.follow,
            approval.keep_time,
            freezing.keep,
            InForce(freezes, grants, lambda: changes.tell(None, None)).follow,
            identity.revocations.follow,
            *hooked.background,
        ),
        ready=ready,
        stopping=changes.close,
        close=close,
    )


def _front_door() -> APIRouter:
    """A person who opens the bare address wants the page."""
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", lambda: RedirectResponse("/approvals", 307), methods=["GET"])
    return router
