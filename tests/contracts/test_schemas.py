"""The generated schemas are those of the models, and say what stands on the log."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from contract_samples import EVENT_SAMPLES, FORMER_SAMPLES, RECORD_SAMPLES

from callgate.streams import CONSUMED
from cli import schemas
from contracts.events import EVENTS

GOLDEN = Path(__file__).parent / "golden"
TYPES = [sample.TYPE for sample in (*EVENT_SAMPLES, *FORMER_SAMPLES, *(record for _, record in RECORD_SAMPLES))]


def document(name: str) -> Any:
    return json.loads((schemas.FOLDER / name).read_text())


def test_the_files_are_those_of_the_models() -> None:
    assert schemas.differences() == [], "run `python -m cli.schemas`"


def test_drift_is_seen_and_mended(tmp_path: Path) -> None:
    for path in schemas.FOLDER.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "callgate.call.allowed.v1.json").write_text("{}")
    (tmp_path / "callgate.call.denied.v1.json").unlink()
    (tmp_path / "callgate.call.forgotten.v1.json").write_text("{}")
    named = [f"callgate.call.{name}.v1.json" for name in ("allowed", "denied", "forgotten")]
    assert schemas.differences(tmp_path) == named
    schemas.write(tmp_path)
    assert schemas.differences(tmp_path) == []


@pytest.mark.parametrize("ce_type", TYPES)
def test_golden_bytes_fit_their_schema_and_changed_ones_do_not(ce_type: str) -> None:
    validator = jsonschema_rs.validator_for(document(f"{ce_type}.json"))
    body = json.loads((GOLDEN / f"{ce_type}.json").read_bytes())
    assert validator.is_valid(body)
    assert not validator.is_valid({**body, "extra": 1})
    assert not validator.is_valid({**body, "data": {**body["data"], "extra": 1}})


def test_the_document_names_every_channel_publisher_and_consumer() -> None:
    found = document(schemas.ASYNCAPI)
    assert found["asyncapi"].startswith("3.")
    for event in EVENTS:
        channel = found["channels"][event.NAME]
        assert channel["address"] == f"calls.{{partition}}.{{session}}.{{call}}.{event.NAME}"
        assert f"Published by: {', '.join(sorted(event.ROLES))}." in channel["description"]
        message = found["components"]["messages"][f"{event.NAME}:Message"]
        assert message["headers"]["properties"]["ce-type"] == {"const": event.TYPE}
        assert message["payload"]["$ref"].endswith(f"Event%5B{event.__name__}%5D")
        assert found["operations"][event.NAME]["action"] == "send"
    receiving = {name for name, operation in found["operations"].items() if operation["action"] == "receive"}
    assert receiving == {f"{event.NAME}_to_{role}" for role, events in CONSUMED.items() for event in events}
