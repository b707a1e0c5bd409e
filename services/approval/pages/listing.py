"""What waits for the person who looks, by expiry."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from services.approval import rendering
from services.approval.domain import Question
from services.approval.frame import HOME
from services.approval.looks import OUTCOME_LIST
from services.approval.outcome_routes import unsettled_for
from services.approval.outcomes import Unsettled
from services.approval.pages import sentences
from services.approval.pages.freezes import named, stopped_for
from services.approval.pages.parts import Parts, Visitor
from services.approval.routes import listed

LISTED = 100
"""Calls on one page of the list."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the list is narrowed to, and which hundred of it are shown."""

    function: str
    requester: str
    page: int

    def of(self, questions: Sequence[Question]) -> list[Question]:
        return [
            one for one in questions if self.function in ("", one.function) and self.requester in ("", one.requester.id)
        ]

    def address(self, page: int) -> str:
        wanted = {"function": self.function, "requester": self.requester, "page": str(page) if page > 1 else ""}
        query = urlencode({name: value for name, value in wanted.items() if value})
        return f"{HOME}?{query}" if query else HOME


def list_routes(parts: Parts) -> APIRouter:
    router = parts.router()

    @router.get("")
    async def waiting(
        request: Request,
        function: str = Query("", max_length=200),
        requester: str = Query("", max_length=600),
        page: int = Query(1, ge=1, le=10_000),
    ) -> Response:
        visitor = parts.visitor(request)
        seen, now = parts.changes.position, parts.now()
        everything = await listed(parts.deciding, visitor.person)
        unsettled = await unsettled_for(parts.settling, visitor.person)
        stopped = stopped_for(parts.history, parts.freezing, visitor.person, now)
        chosen = Chosen(function, requester, page)
        found = chosen.of(everything)
        shown = found[(page - 1) * LISTED : page * LISTED]
        opening = asyncio.gather(*(parts.views.of(question) for question in shown))
        opened, _ = await asyncio.gather(opening, parts.looks.at_list(visitor.person, "list", len(shown)))
        unknown = await _unknown(parts, visitor, unsettled[:LISTED])
        return parts.show(
            "list.html",
            visitor,
            seen=seen,
            events=f"{HOME}/events",
            total=len(everything),
            unsettled=unknown,
            stopped=[(named(one), one.by.id, count) for one, count in stopped],
            found=len(found),
            rows=[
                (question, rendering.until(question.expires_at, now), rendering.brief(view.arguments))
                for question, view in zip(shown, opened, strict=True)
            ],
            functions=sorted({one.function for one in everything}),
            requesters=sorted({one.requester.id for one in everything}),
            chosen=chosen,
            earlier=chosen.address(page - 1) if page > 1 else None,
            later=chosen.address(page + 1) if len(found) > page * LISTED else None,
            sentences=sentences,
        )

    return router


async def _unknown(parts: Parts, visitor: Visitor, calls: Sequence[Unsettled]) -> list[tuple[Unsettled, str]]:
    """Each with its arguments in brief; that they were looked at is on record then."""
    opening = asyncio.gather(*(parts.views.of(call) for call in calls))
    opened, _ = await asyncio.gather(opening, parts.looks.at_list(visitor.person, "list", len(calls), OUTCOME_LIST))
    return [(call, rendering.brief(view.arguments)) for call, view in zip(calls, opened, strict=True)]
