"""`python -m cli.schemas [--check]`: writes contracts/schemas, or says what there differs from the models.

A JSON Schema for the body of each event and record in each version, named by its ce-type, and an AsyncAPI document
(FastStream's own generation) of every event's channel with who publishes and who consumes it, in the newest version.
"""

import argparse
import inspect
import json
import sys
from pathlib import Path
from typing import Any

from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI

from callgate.signing import SIGNATURE_HEADER
from callgate.streams import CONSUMED
from cli import output
from contracts.events import EVENT_BY_TYPE, EVENTS, Event, EventData
from contracts.identity import Role
from contracts.records import RECORDS, Record

FOLDER = Path(__file__).parent.parent / "contracts" / "schemas"
ASYNCAPI = "asyncapi.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VERSION = "1"
"""Of the document; every event type carries its own."""
_PARAMETERS = {
    "partition": {"description": "<epoch>-<shard>"},
    "session": {"description": "The session's id, s_ and 32 characters."},
    "call": {"description": "The call's id, a UUIDv7."},
}


def documents() -> dict[str, str]:
    """Every file of the folder by its name, the same text for the same models."""
    bodies: dict[str, Any] = {kind.TYPE: Event[kind] for kind in EVENT_BY_TYPE.values()}  # type: ignore[valid-type]
    bodies |= {record.TYPE: Record[record] for record in RECORDS}  # type: ignore[valid-type]
    schemas = {
        f"{ce_type}.json": _text({"$schema": _DIALECT, **model.model_json_schema()})
        for ce_type, model in bodies.items()
    }
    return {**schemas, ASYNCAPI: _text(asyncapi())}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document of CALLS, from a broker that is only described and never connected."""
    broker = NatsBroker("nats://localhost:4222", logger=None, description="NATS with JetStream")
    for event in EVENTS:
        broker.publisher(_address(event), title=event.NAME, description=_described(event), schema=_body(event))
        for role in _consumers(event):
            # The queue group is the service: its replicas share the deliveries.
            subscriber = broker.subscriber(
                _address(event), queue=role.value, title=f"{event.NAME}_to_{role}", description=f"To {role}, to answer."
            )
            subscriber(_handler(event))
    title, description = "Callgate", "Every event of a call, as it stands on the log (CloudEvents 1.0, binary mode)."
    specification = AsyncAPI(broker, title=title, version=_VERSION, description=description).to_specification()
    document: dict[str, Any] = json.loads(specification.to_json())
    types = {event.NAME: event.TYPE for event in EVENTS}
    for channel in document["channels"].values():
        channel["parameters"] = _PARAMETERS
    for name, message in document["components"]["messages"].items():
        # FastStream assumes its own correlation header; ours are those of CloudEvents, and the signature.
        del message["correlationId"]
        ce_type = types[name.partition(":")[0].partition("_to_")[0]]
        message |= {"name": ce_type, "contentType": "application/json", "headers": _headers(ce_type)}
    return document


def _address(event: type[EventData]) -> str:
    return f"calls.{{partition}}.{{session}}.{{call}}.{event.NAME}"


def _body(event: type[EventData]) -> Any:
    return Event[event]  # type: ignore[valid-type]


def _consumers(event: type[EventData]) -> list[Role]:
    return [role for role, events in CONSUMED.items() if event in events]


def _described(event: type[EventData]) -> str:
    signers = ", ".join(sorted(event.ROLES))
    consumers = ", ".join(_consumers(event)) or "nobody; ingress and audit follow everything"
    return f"{inspect.cleandoc(event.__doc__ or '')}\n\nPublished by: {signers}. Consumed by: {consumers}."


def _handler(event: type[EventData]) -> Any:
    async def handle(event: Any) -> None:
        """Never called."""

    handle.__annotations__["event"] = _body(event)
    return handle


def _headers(ce_type: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["ce-type", SIGNATURE_HEADER],
        "properties": {
            "ce-type": {"const": ce_type},
            SIGNATURE_HEADER: {
                "type": "string",
                "description": "<key id>:<base64 of Ed25519 over the DSSE encoding of ce-type and body>",
            },
        },
    }


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def differences(folder: Path = FOLDER) -> list[str]:
    """The names of files that are missing, differ, or have no model."""
    wanted = documents()
    found = {path.name: path.read_text() for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def write(folder: Path = FOLDER) -> None:
    wanted = documents()
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cli.schemas", description="JSON Schemas and AsyncAPI document.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    if not parser.parse_args().check:
        write()
        return
    stale = differences()
    for name in stale:
        output.error(f"contracts/schemas/{name} differs from the models; run `python -m cli.schemas`")
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
