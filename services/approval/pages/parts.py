"""What every page of the inbox is made with, and who looks at it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from contracts.functions import Catalog
from contracts.identity import Principal
from services.approval import rendering
from services.approval.amending import Amending
from services.approval.changes import Changes
from services.approval.domain import Question
from services.approval.frame import HOME, Pages, page_route_class
from services.approval.freezing import Freezing
from services.approval.granting import Granting
from services.approval.handlers import Deciding
from services.approval.history import History
from services.approval.looks import Looks
from services.approval.pages import sentences
from services.approval.repository import Approvals
from services.approval.routes import looked_at
from services.approval.sessions import Sessions, check_form_code, form_code
from services.approval.settling import Settling
from services.approval.views import Views


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in, on one request."""

    person: Principal
    session: str

    def code(self, form: str) -> str:
        """What a form of this name carries to prove that this session was shown it."""
        return form_code(self.session, form)

    def check(self, form: str, code: str | None) -> None:
        """Problem unless the form was shown to this session."""
        check_form_code(self.session, form, code)


@dataclass(frozen=True, slots=True)
class Case:
    """A call that somebody looks at; `seen` was the position of changes before it was read."""

    question: Question
    seen: str


@dataclass(frozen=True, slots=True)
class Parts:
    """The services behind the pages."""

    pages: Pages
    sessions: Sessions
    approvals: Approvals
    deciding: Deciding
    amending: Amending
    settling: Settling
    views: Views
    looks: Looks
    history: History
    granting: Granting
    freezing: Freezing
    catalog: Catalog
    changes: Changes

    def router(self) -> APIRouter:
        return APIRouter(prefix=HOME, include_in_schema=False, route_class=page_route_class(self.pages, self.sessions))

    def now(self) -> datetime:
        return self.pages.clock()

    def visitor(self, request: Request) -> Visitor:
        """Unauthenticated."""
        return Visitor(*self.sessions.person(request))

    async def case(self, visitor: Visitor, call_id: str) -> Case:
        """A call that this person may decide, or might have. Problem."""
        seen = self.changes.position
        return Case(await looked_at(self.deciding, call_id, visitor.person), seen)

    def head(self, case: Case) -> dict[str, Any]:
        """What every page about one call shows of it."""
        question, now = case.question, self.now()
        return {
            "seen": case.seen,
            "events": f"{HOME}/events?call={question.ref}",
            "question": question,
            "standing": sentences.standing(question, now),
            "left": rendering.until(question.expires_at, now),
        }

    def show(self, template: str, visitor: Visitor, status: int = 200, **values: Any) -> Response:
        return self.pages.page(
            template, status, visitor.person, sign_out_code=visitor.code("sign out"), visitor=visitor, **values
        )
