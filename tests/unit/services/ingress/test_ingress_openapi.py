"""/openapi.json says what the doors do: who is asked for, what comes back, and how errors look."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from callgate.http import create_app
from callgate.ingress_settings import IngressSettings
from callgate.service import Service
from contracts.functions import Catalog
from contracts.identity import Role
from services.ingress.permitted import Permitted
from services.ingress.routes import routes
from services.ingress.tool_routes import tool_routes
from services.ingress.tools import Tools


@pytest.fixture
def app() -> FastAPI:
    unused: Any = None
    calls = routes(unused, unused, IngressSettings())
    tools = tool_routes(unused, unused, Catalog({}), Permitted(Tools(Catalog({})), unused), IngressSettings())
    return create_app([Service(Role.INGRESS, routers=(calls, tools))])


async def described(app: FastAPI) -> dict[str, Any]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        document: dict[str, Any] = (await http.get("/openapi.json")).json()
        assert (await http.get("/openapi.json")).json() == document
        return document


async def test_every_door_asks_for_a_bearer_token_and_answers_errors_as_problems(app: FastAPI) -> None:
    document = await described(app)
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert set(document["components"]["schemas"]["Problem"]["required"]) >= {"code", "detail"}
    doors = [
        operation
        for path, operations in document["paths"].items()
        if path.startswith("/v1/")
        for operation in operations.values()
    ]
    assert len(doors) == 8
    for operation in doors:
        assert operation["security"] == [{"bearer": []}]
        for status in ("4XX", "503"):
            schema = operation["responses"][status]["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}
        assert "422" not in operation["responses"]
    assert "security" not in document["paths"]["/health"]["get"]
    assert "HTTPValidationError" not in str(document)


async def test_calls_are_described_by_their_outcome(app: FastAPI) -> None:
    paths = (await described(app))["paths"]
    posted = paths["/v1/calls"]["post"]["responses"]
    for status in ("200", "202"):
        outcome = posted[status]["content"]["application/json"]["schema"]
        assert set(outcome["required"]) == {"id", "session", "function", "status", "event", "at"}
        assert {"completed", "denied", "waiting_for_approval"} <= set(outcome["properties"]["status"]["enum"])
    assert "Location" in posted["202"]["headers"]
    assert "202" not in paths["/v1/calls/{call_id}"]["delete"]["responses"]
    listed = paths["/v1/functions"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(listed["properties"]["functions"]["items"]["required"]) == {
        *("name", "description", "tags", "idempotent", "input"),
    }
