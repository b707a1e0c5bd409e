"""The business half of the demo upstream: customers, payments, deployments and a firewall, in FastAPI.

Every person here is made up by a formula; the card numbers pass the Luhn check and the social security
numbers have a valid form, because what masks them downstream looks for exactly that.
"""

from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

CUSTOMERS = 5000

_GIVEN = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Radia", "Leslie", "Frances", "Tony")
_FAMILY = ("Byron", "Murray", "Mathison", "Wybe", "Huberman", "Ervin", "Joy", "Barry", "Elizabeth", "Richard", "Lee")
_PLANS = ("free", "team", "business")


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Export(Body):
    limit: Annotated[int, Field(ge=1, le=CUSTOMERS)]


class Refund(Body):
    amount: Annotated[float, Field(gt=0)]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    card_number: str


class Deployment(Body):
    service: str
    environment: Literal["development", "staging", "production"]
    version: str


class FirewallRule(Body):
    rule: str
    action: Literal["allow", "deny", "remove"]


def luhn_complete(digits: str) -> str:
    """The digits with the check digit of ISO/IEC 7812-1 appended."""
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits))]
    return digits + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def customer(number: int) -> dict[str, Any]:
    """Customer `number` (from 1), always the same."""
    given, family = _GIVEN[number % len(_GIVEN)], _FAMILY[number % len(_FAMILY)]
    return {
        "id": f"c{number}",
        "name": f"{given} {family}",
        "email": f"{given}.{family}.{number}@example.com".lower(),
        "ssn": f"{100 + number % 500:03}-{1 + number % 99:02}-{1 + number * 7 % 9999:04}",
        "card_number": luhn_complete(f"400000{number * 7919 % 10**9:09}"),
        "plan": _PLANS[number % len(_PLANS)],
        "balance": number * 37 % 100_000 / 100,
        "orders": [
            {"order": number * 10 + i, "total": (number + i) * 13 % 20_000 / 100} for i in range(number % 3 + 1)
        ],
    }


def api() -> FastAPI:
    """The routes. Who may call them, and the record of who did, is the business of `examples.upstream`."""
    app = FastAPI(title="Demo upstream", version="1")

    @app.get("/customers/{customer_id}")
    async def get_customer(customer_id: str) -> dict[str, Any]:
        number = customer_id.removeprefix("c")
        if not (number.isascii() and number.isdigit() and len(number) <= 4 and 1 <= int(number) <= CUSTOMERS):
            raise HTTPException(404, "no such customer")
        return customer(int(number))

    @app.post("/customers/export")
    async def export_customers(export: Export) -> dict[str, Any]:
        return {"exported": export.limit, "customers": [customer(n) for n in range(1, export.limit + 1)]}

    @app.post("/refunds", status_code=201)
    async def refund(body: Refund, request: Request) -> dict[str, Any]:
        return {
            "refund": f"r{request.scope['upstream.serial']}",
            "status": "accepted",
            "amount": body.amount,
            "currency": body.currency,
            "card_number": body.card_number,
        }

    @app.post("/deployments", status_code=201)
    async def deploy(body: Deployment, request: Request) -> dict[str, Any]:
        return {"deployment": f"d{request.scope['upstream.serial']}", "status": "started", **body.model_dump()}

    @app.post("/firewall/rules", status_code=201)
    async def change_firewall(body: FirewallRule, request: Request) -> dict[str, Any]:
        return {"change": f"f{request.scope['upstream.serial']}", "status": "applied", **body.model_dump()}

    return app
