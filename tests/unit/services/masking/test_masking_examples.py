"""What docs/masking.md shows is what comes out."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from callgate.errors import ConfigurationError
from callgate.settings import Settings, load
from services.masking.composition import Tools, tools_of
from services.masking.domain import mask
from services.masking.hints import hints_of
from services.masking.machine import default_machine
from services.masking.tokens import SessionSecrets, resolve

DOCUMENT = (Path(__file__).parents[4] / "docs" / "masking.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)]
SESSION = SessionSecrets.of("s_1", bytes(range(64)))


def settings(folder: Path, example: dict[str, Any]) -> Settings:
    (folder / "customers.txt").write_text("# ours\nGlobex Corporation\n")
    path = folder / "callgate.yaml"
    path.write_text(yaml.safe_dump({"deployment": "test", **example}))
    return load(path)


def shown(tools: Tools, value: Any) -> Any:
    return mask(value, machine=tools.machine, disguise=tools.disguise(SESSION)).view


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    (example,) = (block for block in BLOCKS if "detectors" in block.get("masking", {}))
    return tools_of(settings(tmp_path, example).masking)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": "EMP-004211 and EMP-42"}, {"a": "EMP-[EMPLOYEE_ID] and EMP-42"}),
        ({"a": "policy 20417733"}, {"a": "policy [POLICY_NUMBER]"}),
        ({"a": "order 20417733"}, {"a": "order 20417733"}),
        ({"badgeNo": "A1234", "other": "A1234"}, {"badgeNo": "[BADGE]", "other": "A1234"}),
        ({"a": "about PROJECT BLUEBIRD"}, {"a": "about [CODE_NAME]"}),
        ({"a": "for Globex Corporation"}, {"a": "for [CUSTOMER]"}),
        ({"a": "4242-4242-4242-4242"}, {"a": "4242-4242-4242-4242"}),
        ({"a": "jane@example.com"}, {"a": "jane@example.com"}),
        ({"a": "jane@callgate.example"}, {"a": "***@callgate.example"}),
    ],
)
def test_the_example_of_own_detectors_and_lists(tools: Tools, value: Any, expected: Any) -> None:
    assert shown(tools, value) == expected


def test_strategies_of_the_example(tools: Tools) -> None:
    value = {"card": "4111 1111 1111 1111", "phone": "+1 415 555 2671", "d": "seen on 1990-01-31"}
    view = shown(tools, value)
    assert view["card"].startswith("tok_card_")
    assert re.fullmatch(r"\[PHONE_NUMBER#[a-z]{12}\]", view["phone"])
    assert tools.strategies.need_secrets
    assert mask(value, machine=tools.machine, disguise=tools.disguise(None)).view["card"] == "[CREDIT_CARD]"


def test_the_example_of_annotations() -> None:
    (example,) = (block for block in BLOCKS if "properties" in block)
    hints = hints_of({"type": "object", **example})
    value = {"card_number": "x", "build_log": "4111 1111 1111 1111", "payee": "DE89 3704 0044 0532 0130 00"}
    assert mask(value, hints).view == {
        "card_number": "[CREDIT_CARD]",
        "build_log": "4111 1111 1111 1111",
        "payee": "[IBAN_CODE]",
    }
    token = SESSION.seal("IBAN_CODE", "DE89 3704 0044 0532 0130 00")
    assert resolve({"payee": token}, hints, SESSION).document == {"payee": "DE89 3704 0044 0532 0130 00"}
    assert resolve({"card_number": token}, hints, SESSION).refused == ("token_not_allowed",)


def test_the_example_of_a_token_names_a_function_of_the_example_deployment() -> None:
    example = load(Path(__file__).parents[4] / "callgate.yaml")
    (refund,) = (one for one in example.catalog if one.name == "payments.refund")
    assert "CREDIT_CARD" in hints_of(refund.spec.input).property("card_number").accepts
    assert tools_of(example.masking).machine is not None


def test_the_model_of_the_example_is_the_operators_to_install(tmp_path: Path) -> None:
    (example,) = (block for block in BLOCKS if "ner" in block.get("masking", {}))
    loaded = settings(tmp_path, example)
    assert loaded.masking.ner is not None
    assert loaded.masking.ner.words == 8


def test_without_a_configuration_the_machine_is_shared() -> None:
    assert tools_of(None).machine is default_machine()
    assert shown(tools_of(None), "card 4111 1111 1111 1111") == "card [CREDIT_CARD]"


def test_a_machine_of_the_operators_own_is_its_own(tools: Tools) -> None:
    assert tools.machine is not default_machine()
    assert tools.machine.allows("DE_KFZ", "M-AB 123")
    assert tools.machine.allows("CREDIT_CARD", "4242424242424242")
    assert not tools.machine.allows("CREDIT_CARD", "4111111111111111")


def test_a_list_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (example,) = (block for block in BLOCKS if "detectors" in block.get("masking", {}))
    loaded = settings(tmp_path, example)
    (tmp_path / "customers.txt").unlink()
    with pytest.raises(ConfigurationError, match="bad_masking") as caught:
        tools_of(loaded.masking)
    assert "CUSTOMER" in str(caught.value.detail)
