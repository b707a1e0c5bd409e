"""The configuration that compose.yaml runs, beside the one of the laptop."""

from pathlib import Path
from typing import Any

from callgate.settings import load
from contracts.functions import Connection, McpConnection

ROOT = Path(__file__).parents[3]


def test_containers_offer_the_same_functions_as_the_example() -> None:
    example, deployed = load(ROOT / "callgate.yaml"), load(ROOT / "deploy" / "callgate.yaml")
    functions = {name: offered(connection) for name, connection in example.connections.items()}
    assert functions
    assert functions == {name: offered(connection) for name, connection in deployed.connections.items()}


def offered(connection: Connection) -> Any:
    """What is declared of its functions; an MCP server's own tools are found."""
    return (connection.accept, connection.tools) if isinstance(connection, McpConnection) else connection.functions


def test_containers_run_no_embedded_broker_and_trust_the_development_issuer_by_its_name() -> None:
    deployed = load(ROOT / "deploy" / "callgate.yaml")
    assert deployed.broker.url == "nats://nats:4222"
    assert deployed.development is not None
    assert deployed.development.issuer is not None
    assert [issuer.issuer for issuer in deployed.identity.issuers] == [f"http://{deployed.development.issuer}"]
