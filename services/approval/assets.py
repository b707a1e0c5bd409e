"""The style, the script and the icon, named by what is in them, so that browsers keep them."""

import hashlib
from collections.abc import Mapping
from importlib.resources import files

from fastapi import APIRouter, Response

from callgate.http import Problem

PATH = "/approvals/static"
_TYPES = {"inbox.css": "text/css", "inbox.js": "text/javascript", "icon.svg": "image/svg+xml"}
_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def read_assets() -> Mapping[str, bytes]:
    """Each file as it was installed."""
    folder = files("services.approval") / "static"
    return {name: (folder / name).read_bytes() for name in _TYPES}


def addresses(assets: Mapping[str, bytes]) -> Mapping[str, str]:
    """Where each is served."""
    return {name: f"{PATH}/{name}?{hashlib.sha256(body).hexdigest()[:16]}" for name, body in assets.items()}


def asset_routes(assets: Mapping[str, bytes]) -> APIRouter:
    router = APIRouter(prefix=PATH, include_in_schema=False)

    @router.get("/{name}")
    async def asset(name: str) -> Response:
        if name not in assets:
            raise Problem(404, "not_found", "There is no such file.")
        return Response(assets[name], media_type=_TYPES[name], headers=_HEADERS)

    return router
