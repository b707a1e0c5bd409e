"""The configuration that compose.yaml runs, beside the one of the laptop."""

from pathlib import Path

from callgate.settings import load

ROOT = Path(__file__).parents[3]


def test_containers_offer_the_same_functions_as_the_example() -> None:
    example, deployed = load(ROOT / "callgate.yaml"), load(ROOT / "deploy" / "callgate.yaml")
    functions = {name: connection.functions for name, connection in example.connections.items()}
    assert functions
    assert functions == {name: connection.functions for name, connection in deployed.connections.items()}


def test_containers_run_no_embedded_broker_and_trust_the_development_issuer_by_its_name() -> None:
    deployed = load(ROOT / "deploy" / "callgate.yaml")
    assert deployed.broker.url == "nats://nats:4222"
    assert deployed.development is not None
    assert deployed.development.issuer is not None
    assert [issuer.issuer for issuer in deployed.identity.issuers] == [f"http://{deployed.development.issuer}"]
