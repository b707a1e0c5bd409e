"""The machine: what may be wrapped, what keys tell, and that ordinary JSON is left alone while telling keys are not."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.masking.corpora import ordinary, telling
from callgate.errors import ConfigurationError
from callgate.masking_settings import MaskingSettings, StrategySettings
from contracts.functions import Catalog, HttpConnection
from services.masking.composition import tools_of
from services.masking.domain import mask
from services.masking.layers import NOTHING, unwrap
from services.masking.machine import Machine, default_machine, key_rule
from services.masking.recogniser import Detectors, Recogniser
from services.masking.strategies import KEPT

TEXTS = st.lists(
    st.sampled_from(
        ["plain", '{"a": 1}', "a%40b", "&#64;", "\\u0041", " [1]", "NDExMSAxMTExIDExMTEgMTExMQ==", "", "é%41"]
    )
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
    max_size=8,
)


@given(TEXTS)
def test_what_can_be_unwrapped_is_seen_in_joined_texts(texts: list[str]) -> None:
    wrapped = default_machine().wrapped(texts)
    assert wrapped <= set(range(len(texts)))
    for index, text in enumerate(texts):
        if unwrap(text) != NOTHING:
            assert index in wrapped


def test_texts_in_which_nothing_is_wrapped() -> None:
    assert default_machine().wrapped([]) == set()
    assert default_machine().wrapped(["plain text", "4111 1111 1111 1111", ""]) == set()
    assert default_machine().wrapped(["plain", "a%40b", "plain", '{"a": 1}']) == {1, 3}


@pytest.mark.parametrize(
    ("key", "parent", "entity"),
    [
        ("card_number", "", "CREDIT_CARD"),
        ("number", "card", "CREDIT_CARD"),
        ("firstName", "", "PERSON"),
        ("password_hash", "", None),
        ("status", "order", None),
    ],
)
def test_what_keys_tell(key: str, parent: str, entity: str | None) -> None:
    rule = key_rule(key, parent)
    assert (rule.entity if rule else None) == entity


def test_the_operators_word_holds_for_keys_and_detectors() -> None:
    machine = Machine.of(
        Detectors((Recogniser("TICKET", pattern=r"T-[0-9]{4}", score=0.95),)),
        lambda entity, text: entity == "CREDIT_CARD" or text == "T-0000",
    )
    value = {"card_number": "4111 1111 1111 1111", "a": "T-0000 T-1234"}
    assert mask(value, machine=machine).view == {"card_number": "4111 1111 1111 1111", "a": "T-0000 [TICKET]"}


def test_the_built_in_machine_is_made_once() -> None:
    assert default_machine() is default_machine()
    assert default_machine().shortest > 1


@pytest.mark.parametrize("seed", [1, 20260314])
def test_ordinary_json_has_at_most_one_false_alarm_per_100_kb(seed: int) -> None:
    alarms: Counter[tuple[str, str]] = Counter()
    size = 0
    for document in ordinary(seed, 400_000):
        size += len(json.dumps(document))
        for finding in mask(document).findings:
            if finding.entity not in KEPT:
                alarms[finding.entity, finding.path] += 1
    assert sum(alarms.values()) <= size / 100_000, alarms


def test_telling_keys_are_believed() -> None:
    missed: Counter[str] = Counter()
    count = 0
    for told in telling(3, rounds=5):
        masked = mask(told.document)
        pointer = "/" + "/".join(map(str, told.path))
        count += 1
        missed[pointer] += not any(finding.path == pointer for finding in masked.findings)
    assert sum(missed.values()) <= count / 100, +missed


def test_a_strategy_of_an_entity_that_nothing_finds_is_refused() -> None:
    def asked(entity: str) -> MaskingSettings:
        return MaskingSettings(strategies=StrategySettings(entities={entity: "drop"}))

    with pytest.raises(ConfigurationError, match="EMAIL_ADRESS; do you mean EMAIL_ADDRESS"):
        tools_of(asked("EMAIL_ADRESS"))
    assert tools_of(asked("EMAIL_ADDRESS"))
    spec = {"path": "/x", "input": {"type": "object", "properties": {"pass": {"x-callgate-mask": "BOARDING_PASS"}}}}
    connection = HttpConnection.model_validate({"base_url": "http://127.0.0.1:1", "functions": {"board": spec}})
    assert tools_of(asked("BOARDING_PASS"), Catalog({"air": connection}))
    with pytest.raises(ConfigurationError, match="BOARDING_PASS"):
        tools_of(asked("BOARDING_PASS"))


@pytest.mark.parametrize(
    ("annotation", "refused"),
    [
        (
            {"x-callgate-mask": "CREDITCARD"},
            "the input of air.board, at /properties/pass/x-callgate-mask: nothing is found as CREDITCARD; do you mean",
        ),
        ({"x-callgate-accepts": ["CREDIT_CRAD"]}, "as CREDIT_CRAD; do you mean CREDIT_CARD"),
        ({"x-callgate-accepts": ["BOARDING_PASS"]}, "nothing is found as BOARDING_PASS"),
        ({"x-callgate-mask": "BOARDING_PASS", "x-callgate-accepts": ["BOARDING_PASS"]}, None),
        ({"x-callgate-mask": "EMAIL_ADDRESS", "default": {"x-callgate-mask": "CREDITCARD"}}, None),
    ],
)
def test_an_entity_that_an_annotation_misspells_is_refused(annotation: dict[str, Any], refused: str | None) -> None:
    spec = {"path": "/x", "input": {"type": "object", "properties": {"pass": annotation}}}
    connection = HttpConnection.model_validate({"base_url": "http://127.0.0.1:1", "functions": {"board": spec}})
    if refused is None:
        assert tools_of(None, Catalog({"air": connection}))
        return
    with pytest.raises(ConfigurationError) as error:
        tools_of(None, Catalog({"air": connection}))
    assert refused in error.value.detail
