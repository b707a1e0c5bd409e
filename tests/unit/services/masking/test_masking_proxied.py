"""What masking does with calls that came through the proxy: requests are handed on, headers of answers are masked."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hints_book import HintsBook
from memory_log import NOW, RITA, Calls, Clock, MemoryLog, MemorySealer, delivery

from callgate.errors import Rejected
from callgate.ids import uuid7
from callgate.masking_settings import StrategySettings
from callgate.sealing import Place
from contracts.events import (
    ApprovalRequired,
    ArgumentsAmended,
    ArgumentsMasked,
    ExecutionCompleted,
    ExecutionStarted,
    Proof,
    Recorded,
    Requirement,
    ResultMasked,
    make_event,
)
from services.masking.content import MaskedBytes, mask_headers
from services.masking.handlers import Masking
from services.masking.strategies import Strategies

CARD = "4111111111111111"
REQUEST = b'{"path":"/pay"}\n{"amount":40}'


class Scene:
    def __init__(self) -> None:
        self.log = MemoryLog(Clock())
        self.sealer = MemorySealer()
        self.masking = Masking(self.log, self.sealer.as_sealer, HintsBook({}), HintsBook({}), self.log.clock)

    def calls(self, **more: Any) -> Calls:
        return Calls(self.log, self.sealer, request=REQUEST, **more)

    async def request_of(self, recorded: Recorded) -> bytes | None:
        """What the executor finds of the request, after the last masking of the call."""
        head = self.log.call(recorded.ref).last_recorded(ArgumentsMasked)
        assert head is not None
        assert isinstance(head.data, ArgumentsMasked)
        if head.data.request is None:
            return None
        return await self.sealer.open(head.data.request, Place(head.ref, head.event.event_id, "request"), "raw")

    def completed(self, headers: bytes | None, content_type: str = "application/json", **more: Any) -> Recorded:
        allowed = self.calls().allowed("b" * 64)
        start = self.log.put(allowed.ref, ExecutionStarted(instance="e1", attempt=1, deadline=NOW))
        event_id = uuid7()

        def sealed(plain: bytes, field: str) -> Any:
            return self.sealer.put(plain, Place(allowed.ref, event_id, field), "raw")

        data = ExecutionCompleted(
            function="shop.pay",
            status=200,
            content_type=content_type,
            result=sealed(b'{"ok":true}', "result"),
            headers=None if headers is None else sealed(headers, "headers"),
            size=11,
            duration_ms=1,
            **more,
        )
        return self.log.write(make_event(event_id, allowed.ref, NOW, start.digest, data), allowed.ref)

    async def headers(self, completed: Recorded) -> Any:
        await self.masking.on_execution_completed(completed, delivery())
        head = self.log.call(completed.ref).head
        assert head is not None
        assert isinstance(head.data, ResultMasked)
        if head.data.headers is None:
            return None
        return json.loads(
            await self.sealer.open(head.data.headers, Place(head.ref, head.event.event_id, "headers"), "view")
        )


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_the_request_is_handed_on_to_the_executor_as_it_is(scene: Scene) -> None:
    requested = scene.calls().requested()
    await scene.masking.on_requested(requested, delivery())
    assert await scene.request_of(requested) == REQUEST


async def test_also_where_somebody_amended_the_arguments_since_it_says_under_which_condition(scene: Scene) -> None:
    requested = scene.calls().requested()
    await scene.masking.on_requested(requested, delivery())
    wanted = Requirement(policies=("large",), approvers=("finance",), quorum=1, expires_at=NOW + timedelta(minutes=15))
    question = ApprovalRequired(policy_set="a" * 64, function_digest="b" * 64, requirements=(wanted,))
    asked, event_id = scene.log.put(requested.ref, question), uuid7()
    patch = scene.sealer.put(
        b'[{"op":"replace","path":"/amount","value":4}]', Place(asked.ref, event_id, "patch"), "raw"
    )
    proof = Proof(issuer=RITA.issuer, subject=RITA.id, digest=asked.digest)
    data = ArgumentsAmended(author=RITA, patch=patch, proof=proof)
    amended = scene.log.write(make_event(event_id, asked.ref, NOW, asked.digest, data), asked.ref)
    await scene.masking.on_arguments_amended(amended, delivery())
    assert await scene.request_of(requested) == REQUEST


async def test_arguments_that_cannot_be_inspected_take_the_request_with_them(scene: Scene) -> None:
    requested = scene.calls(arguments=b"{").requested()
    await scene.masking.on_requested(requested, delivery())
    assert await scene.request_of(requested) is None


async def test_a_request_that_does_not_open_is_no_call_without_one(scene: Scene) -> None:
    requested = scene.calls().requested()
    opened = scene.sealer.open

    async def broken(sealed: Any, place: Place, data_class: Any) -> bytes:
        if place.field == "request":
            raise Rejected("seal_broken")
        return await opened(sealed, place, data_class)

    scene.sealer.open = broken  # type: ignore[method-assign]
    await scene.masking.on_requested(requested, delivery())
    data = scene.log.call(requested.ref).last(ArgumentsMasked)
    assert data is not None
    assert (data.arguments, data.request, data.uninspectable) == (None, None, ("seal_broken",))


async def test_each_header_is_masked_as_a_text(scene: Scene) -> None:
    headers = [
        ["location", f"/proxy/shop/cards/{CARD}"],
        ["etag", '"v1"'],
        ["link", "</x>; rel=next"],
        ["link", "</y>"],
    ]
    completed = scene.completed(json.dumps(headers).encode())
    assert await scene.headers(completed) == [["location", "/proxy/shop/cards/[CREDIT_CARD]"], *headers[1:]]
    told = scene.log.call(completed.ref).last(ResultMasked)
    assert told is not None
    (found,) = told.header_findings
    assert (found.path, found.entity, found.start, found.end) == ("/location", "CREDIT_CARD", 18, 34)
    assert not told.findings


@pytest.mark.parametrize("more", [{"truncated": True}, {"content_type": "image/png"}])
async def test_what_is_withheld_has_no_headers(scene: Scene, more: dict[str, Any]) -> None:
    assert await scene.headers(scene.completed(b'[["etag","x"]]', **more)) is None


async def test_an_answer_for_another_door_has_none(scene: Scene) -> None:
    assert await scene.headers(scene.completed(None)) is None


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b"[1]", b'["ab", [1]]', b'[["a"]]', b"\xff"])
def test_what_is_no_list_of_headers_shows_none(data: bytes) -> None:
    assert mask_headers(data) == MaskedBytes(b"[]")


def test_headers_that_cannot_be_inspected_are_not_shown() -> None:
    assert mask_headers(json.dumps([["x-request-id", "x" * (1024 * 1024 + 1)]]).encode()) == MaskedBytes(b"[]")


def test_what_is_dropped_goes_with_its_name() -> None:
    strategies = Strategies.of(StrategySettings.model_validate({"default": "drop"}))
    headers = json.dumps([["x-request-id", "ann@example.com"], ["etag", '"v1"']]).encode()
    masked = mask_headers(headers, disguise=strategies.disguise(None))
    assert json.loads(masked.data) == [["etag", '"v1"']]
    assert [(found.path, found.entity) for found in masked.findings] == [("/x-request-id", "EMAIL_ADDRESS")]


def test_a_header_whose_name_the_upstream_made_up_is_not_quoted_in_the_clear() -> None:
    masked = mask_headers(json.dumps([["etag", "x"], [f"x-ratelimit-{CARD}", "ann@example.com"]]).encode())
    assert CARD.encode() not in masked.data
    assert masked.findings
    assert all(found.path == "/*" for found in masked.findings)
