"""Callgate for those who write agents: functions are called through it, and nothing else is needed.

    from callgate.client import Client

    with Client("http://127.0.0.1:8080", token) as callgate:
        outcome = callgate.call("payments.refund", {"amount": 40, "currency": "EUR", "card_number": "…"})
        print(outcome.status, outcome.result)

`AsyncClient` is the same with `await`. A call waits for as long as it takes, approvals by people included; `submit`
comes back at once, and `wait` takes it up again. Importing this loads an HTTP client and nothing of the services.
"""

from callgate.client.clients import AsyncClient, Client
from callgate.client.outcome import Event, NotCompleted, Outcome, Problem, Unreachable
from callgate.client.tools import AsyncTools, Tools
from callgate.errors import CallgateError

__all__ = [
    "AsyncClient",
    "AsyncTools",
    "CallgateError",
    "Client",
    "Event",
    "NotCompleted",
    "Outcome",
    "Problem",
    "Tools",
    "Unreachable",
]
