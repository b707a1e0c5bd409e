"""Problems as language models read them. Pure.

A problem's detail is for the program that sent the request, and speaks of its headers and addresses. A model can change
none of those: it is told what became of its call, whether making it again helps, and whom to tell.
"""

from collections.abc import Mapping

from callgate.http import Problem
from callgate.identity.errors import Refusal
from contracts.freezes import FROZEN

TELL = "Tell the person you work for."

_DETAILS: Mapping[str, str] = {
    "too_many_waiting": "Too many calls wait here at this moment.",
    "idempotency_key_reused": (
        "The idempotency key that your client sent with it stands for another call, or for this one, from before keys "
        f"were rotated here: it may have been run under that key already. Do not make it again. {TELL}"
    ),
    "bad_idempotency_key": f"The idempotency key that your client sent with it is none that is taken here. {TELL}",
    "foreign_session": f"The session is not yours: your client names one of somebody else's. {TELL}",
    Refusal.NOT_BOUND: (
        "This function takes only tokens that are bound to a key of their holder (DPoP or mutual TLS), and your "
        f"client's is not. {TELL}"
    ),
}
_NEXT: Mapping[str, str] = {FROZEN: "You may make the same call again once that is lifted."}


def call_in_doubt(problem: Problem) -> str | None:
    """The id of the call that may stand all the same; None where certainly nothing was recorded."""
    return problem.extra.get("id")


def detail_of(problem: Problem) -> str:
    """The detail, in words that a model can act on."""
    if problem.code == "broker_away" and call_in_doubt(problem) is not None:
        return "The event log is out of reach."
    return _DETAILS.get(problem.code, problem.detail)


def doubt_of(problem: Problem) -> str:
    """Of a call in doubt: what is known of it."""
    unknown = f"It is not known what became of this call ({problem.code})."
    return f"{unknown} {detail_of(problem)} It may be recorded, and go on."


def refusal_of(problem: Problem) -> str:
    """Of a call that was not taken: that it was not run, why, and whether it may be made again."""
    following = "You may make the same call again in a moment." if problem.status == 503 else _NEXT.get(problem.code)
    return " ".join([f"Not run ({problem.code}).", detail_of(problem), *([following] if following else [])])
