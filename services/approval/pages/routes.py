"""The inbox put together; the order counts, since a call's page takes every name that is left."""

from urllib.parse import quote

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from callgate.http import Problem
from services.approval.assets import asset_routes
from services.approval.frame import HOME
from services.approval.live import Live, live_routes
from services.approval.pages.amend import amend_routes
from services.approval.pages.call import call_routes
from services.approval.pages.grant import grant_routes
from services.approval.pages.in_force import in_force_routes
from services.approval.pages.listing import list_routes
from services.approval.pages.parts import Parts
from services.approval.pages.settle import settle_routes


def page_routes(parts: Parts) -> tuple[APIRouter, ...]:
    """Everything under /approvals but the sign-in, which is to be included before."""
    return (
        asset_routes(parts.pages.assets),
        live_routes(Live(parts.changes), parts.deciding, parts.sessions),
        list_routes(parts),
        in_force_routes(parts),
        settle_routes(parts),
        amend_routes(parts),
        grant_routes(parts),
        call_routes(parts),
        _unknown_pages(parts),
    )


def _unknown_pages(parts: Parts) -> APIRouter:
    """Whoever follows a broken link gets a page: nothing else answers at two names and more under /approvals."""
    router = parts.router()

    @router.get("/{first}/{rest:path}")
    async def unknown(first: str, rest: str) -> Response:
        if not rest:  # a slash too many
            return RedirectResponse(f"{HOME}/{quote(first)}", 307)
        raise Problem(404, "unknown_page", "There is no such page.")

    return router
