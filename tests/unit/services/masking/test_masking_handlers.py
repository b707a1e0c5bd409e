"""Steps 2 and 7: what is sealed for whom, what is withheld, and that every call gets its event."""

import hashlib
import json
import logging
import threading
from typing import Any

import pytest
from hints_book import HintsBook
from memory_log import AGENT, GENESIS, NOW, Calls, Clock, MemoryLog, MemorySealer, delivery, new_ref

from callgate.errors import BrokerAway, LostRace, Rejected
from callgate.ids import uuid7
from callgate.sealing import Place
from contracts.events import (
    ArgumentsMasked,
    Cancelled,
    ExecutionCompleted,
    ExecutionStarted,
    Recorded,
    Requested,
    ResultMasked,
    make_event,
)
from contracts.subjects import CallRef
from services.masking import handlers
from services.masking.content import mask_bytes
from services.masking.handlers import Masking
from services.masking.hints import hints_of
from services.masking.tokens import SessionSecrets

CARD = "4111111111111111"
PROPERTIES = {
    "pin": {"type": "string", "x-callgate-mask": "PIN"},
    "pan": {"type": "string", "x-callgate-mask": "CREDIT_CARD"},
    "card": {"x-callgate-accepts": ["CREDIT_CARD"]},
}
HINTS = HintsBook({"shop.pay": hints_of({"type": "object", "properties": PROPERTIES})})
OUTPUTS = HintsBook({"shop.pay": hints_of({"properties": {"holder": {"x-callgate-mask": "PERSON"}}})})


class Scene:
    def __init__(self) -> None:
        self.log = MemoryLog(Clock())
        self.sealer = MemorySealer()
        self.masking = Masking(self.log, self.sealer.as_sealer, HINTS, OUTPUTS, self.log.clock)

    def requested(self, arguments: bytes, function: str = "shop.pay") -> Recorded:
        return Calls(self.log, self.sealer, function, arguments).requested()

    async def arguments(self, arguments: bytes) -> tuple[ArgumentsMasked, Recorded]:
        requested = self.requested(arguments)
        await self.masking.on_requested(requested, delivery())
        head = self.log.call(requested.ref).head
        assert head is not None
        assert isinstance(head.data, ArgumentsMasked)
        return head.data, head

    def completed(self, body: bytes, content_type: str | None = "application/json", **more: Any) -> Recorded:
        allowed = Calls(self.log, self.sealer).allowed("b" * 64)
        start = self.log.put(allowed.ref, ExecutionStarted(instance="e1", attempt=1, deadline=NOW))
        event_id = uuid7()
        data = ExecutionCompleted(
            function="shop.pay",
            status=200,
            content_type=content_type,
            result=self.sealer.put(body, Place(allowed.ref, event_id, "result"), "raw"),
            size=len(body),
            duration_ms=1,
            **more,
        )
        return self.log.write(make_event(event_id, allowed.ref, NOW, start.digest, data), allowed.ref)

    async def result(self, completed: Recorded) -> tuple[ResultMasked, bytes | None]:
        await self.masking.on_execution_completed(completed, delivery())
        head = self.log.call(completed.ref).head
        assert head is not None
        assert isinstance(head.data, ResultMasked)
        view = head.data.view
        place = Place(head.ref, head.event.event_id, "view")
        return head.data, None if view is None else await self.sealer.open(view, place, "view")


@pytest.fixture
def scene() -> Scene:
    return Scene()


# 2. Arguments


async def test_arguments_are_sealed_anew_with_their_view(scene: Scene) -> None:
    text = b'{"card":"%s","pin":"12","amount":1.5}' % CARD.encode()
    data, recorded = await scene.arguments(text)
    assert data.arguments is not None
    assert data.view is not None
    place = Place(recorded.ref, recorded.event.event_id, "arguments")
    assert await scene.sealer.open(data.arguments, place, "raw") == text
    view = await scene.sealer.open(data.view, Place(recorded.ref, recorded.event.event_id, "view"), "view")
    assert json.loads(view) == {"card": "[CREDIT_CARD]", "pin": "[PIN]", "amount": 1.5}
    assert {(f.path, f.entity) for f in data.findings} == {("/card", "CREDIT_CARD"), ("/pin", "PIN")}
    assert data.uninspectable == ()
    assert data.principal == scene.log.call(recorded.ref).requested.principal


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(b"{", "syntax"), (b'{"a":1,"a":2}', "duplicate_key"), (b'{"a":NaN}', "not_a_number"), (b"\xff", "not_utf8")],
)
async def test_arguments_that_are_no_json_are_named_and_not_passed_on(
    scene: Scene, arguments: bytes, code: str
) -> None:
    data, _ = await scene.arguments(arguments)
    assert (data.arguments, data.view, data.uninspectable) == (None, None, (code,))


async def test_arguments_that_do_not_open_are_named(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    requested = scene.requested(b'{"card":"%s"}' % CARD.encode())
    scene.sealer.errors.append(Rejected("seal_broken", "the payload does not open in this place"))
    await scene.masking.on_requested(requested, delivery())
    data = scene.log.call(requested.ref).last(ArgumentsMasked)
    assert data is not None
    assert (data.arguments, data.uninspectable) == (None, ("seal_broken",))
    assert "could not be inspected" in caplog.text


async def test_what_is_too_deep_in_part_goes_on_with_its_code(scene: Scene) -> None:
    """Policy denies it; the rest of the view shows people what was asked."""
    data, _ = await scene.arguments(b'{"note":"%s"}' % (b"x" * (1024 * 1024 + 1)))
    assert data.uninspectable == ("too_large",)
    assert data.view is not None


async def test_findings_beyond_what_an_event_holds_withhold_the_arguments(scene: Scene) -> None:
    """Else the event could never be written, and the delivery would come again for ever."""
    scene.log.faults["arguments_masked"] = ["too_large"]
    data, recorded = await scene.arguments(b'{"card":"%s"}' % CARD.encode())
    assert (data.arguments, data.view, data.findings) == (None, None, ())
    assert data.uninspectable == ("too_many_findings",)
    assert scene.log.names(recorded.ref) == ["requested", "arguments_masked"]


async def test_large_arguments_are_masked_the_same(scene: Scene) -> None:
    data, recorded = await scene.arguments(b'{"note":"%s","card":"%s"}' % (b"x" * 100_000, CARD.encode()))
    assert data.view is not None
    view = await scene.sealer.open(data.view, Place(recorded.ref, recorded.event.event_id, "view"), "view")
    assert CARD.encode() not in view
    assert [finding.entity for finding in data.findings] == ["CREDIT_CARD"]


@pytest.mark.parametrize("fault", ["away", "stored"])
async def test_a_write_that_failed_is_made_once_in_the_end(scene: Scene, fault: Any) -> None:
    requested = scene.requested(b"{}")
    scene.log.faults["arguments_masked"] = [fault]
    with pytest.raises(BrokerAway):
        await scene.masking.on_requested(requested, delivery())
    if fault == "stored":
        with pytest.raises(LostRace):  # answered already: the platform acknowledges
            await scene.masking.on_requested(requested, delivery(2))
    else:
        await scene.masking.on_requested(requested, delivery(2))
    assert scene.log.names(requested.ref) == ["requested", "arguments_masked"]


async def test_a_withdrawn_call_is_not_masked(scene: Scene) -> None:
    requested = scene.requested(b"{}")
    scene.log.put(requested.ref, Cancelled(by="bot", code="withdrawn"))
    with pytest.raises(LostRace):
        await scene.masking.on_requested(requested, delivery())


async def test_keys_that_are_away_are_waited_for(scene: Scene) -> None:
    requested = scene.requested(b"{}")
    scene.sealer.errors.append(BrokerAway())
    with pytest.raises(BrokerAway):
        await scene.masking.on_requested(requested, delivery())
    assert scene.log.names(requested.ref) == ["requested"]


# Reversible tokens


def given_out(ref: CallRef, value: Any) -> str:
    secret = hashlib.sha512(f"{ref.session_id} disguise".encode()).digest()
    token = SessionSecrets.of(ref.session_id, secret).seal("CREDIT_CARD", value)
    assert token is not None
    return token


async def masked_with_token(scene: Scene, place: str = "card", value: Any = CARD) -> tuple[ArgumentsMasked, bytes, Any]:
    """What becomes of a call that gives a token back: the event, the arguments as sealed anew, and their view."""
    ref, event_id = new_ref(), uuid7()
    token = given_out(ref, value)
    arguments = b'{"%s":"%s","n":1.0}' % (place.encode(), token.encode())
    payload = scene.sealer.put(arguments, Place(ref, event_id, "arguments"), "raw")
    data = Requested(function="shop.pay", principal=AGENT, arguments=payload)
    requested = scene.log.write(make_event(event_id, ref, NOW, GENESIS, data), ref)
    await scene.masking.on_requested(requested, delivery())
    head = scene.log.call(requested.ref).head
    assert head is not None
    assert isinstance(head.data, ArgumentsMasked)
    assert head.data.arguments is not None
    assert head.data.view is not None
    view = await scene.sealer.open(head.data.view, Place(ref, head.event.event_id, "view"), "view")
    effective = await scene.sealer.open(head.data.arguments, Place(ref, head.event.event_id, "arguments"), "raw")
    return head.data, effective, json.loads(view.replace(token.encode(), b"THE TOKEN"))


@pytest.mark.parametrize("value", [CARD, int(CARD)])
async def test_a_token_is_resolved_in_what_is_sealed_and_nowhere_else(scene: Scene, value: Any) -> None:
    data, effective, view = await masked_with_token(scene, value=value)
    assert effective == b'{"card":%s,"n":1.0}' % json.dumps(value).encode()
    assert view == {"card": "THE TOKEN", "n": 1.0}
    assert [(one.path, one.entity) for one in data.findings] == [("/card", "CREDIT_CARD")]
    assert data.uninspectable == ()
    assert CARD not in data.model_dump_json()


async def test_a_token_that_an_annotation_masks_is_found_once(scene: Scene) -> None:
    data, effective, view = await masked_with_token(scene, "pan")
    assert json.loads(effective)["pan"] == CARD
    assert view["pan"] in ("THE TOKEN", "[CREDIT_CARD]")
    assert [(one.path, one.entity) for one in data.findings] == [("/pan", "CREDIT_CARD")]


async def test_a_token_in_the_wrong_place_is_named_and_stays_one(scene: Scene) -> None:
    data, effective, _ = await masked_with_token(scene, "url")
    assert CARD.encode() not in effective
    assert data.uninspectable == ("token_not_allowed",)
    assert [(one.pointer, one.keyword) for one in data.refused_tokens] == [("/*", "token_not_allowed")]


async def test_an_erased_sessions_token_is_invalid_though_the_secret_is_remembered(scene: Scene) -> None:
    scene.sealer.erased = True
    data, effective, _ = await masked_with_token(scene)
    assert CARD.encode() not in effective
    assert data.uninspectable == ("token_invalid",)


# 7. Results


async def test_a_result_is_masked_leaf_by_leaf(scene: Scene) -> None:
    data, view = await scene.result(scene.completed(b'{"card":"%s","n":1.10}' % CARD.encode()))
    assert view == b'{"card":"[CREDIT_CARD]","n":1.10}'
    assert (data.status, data.content_type, data.withheld) == (200, "application/json", None)
    assert [finding.path for finding in data.findings] == ["/card"]


async def test_what_the_function_says_of_its_output_counts(scene: Scene) -> None:
    _, view = await scene.result(scene.completed(b'{"holder":"Jo","other":"Jo"}'))
    assert view == b'{"holder":"[PERSON]","other":"Jo"}'


async def test_a_result_in_text(scene: Scene) -> None:
    data, view = await scene.result(scene.completed(f"card {CARD}".encode(), "text/plain; charset=utf-8"))
    assert view == b"card [CREDIT_CARD]"
    assert data.content_type == "text/plain"


async def test_a_result_in_latin_1_is_shown_in_utf_8(scene: Scene) -> None:
    """The event names no charset, so a view has but one."""
    data, view = await scene.result(scene.completed(f"Ünal {CARD}".encode("latin-1"), "text/plain; charset=iso-8859-1"))
    assert (view, data.content_type) == ("Ünal [CREDIT_CARD]".encode(), "text/plain")


@pytest.mark.parametrize(("size", "in_thread"), [(8 * 1024, False), (8 * 1024 + 1, True)])
async def test_what_takes_long_is_masked_beside_the_event_loop(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, size: int, in_thread: bool
) -> None:
    threads: list[int] = []

    def watched(*given: Any, **named: Any) -> Any:
        threads.append(threading.get_ident())
        return mask_bytes(*given, **named)

    monkeypatch.setattr(handlers, "mask_bytes", watched)
    await scene.result(scene.completed(b"x" * size, "text/plain"))
    assert [ident != threading.get_ident() for ident in threads] == [in_thread]


async def test_an_empty_result(scene: Scene) -> None:
    data, view = await scene.result(scene.completed(b"", None))
    assert (view, data.withheld, data.content_type) == (b"", None, None)


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"{", "application/json", "malformed_json"),
        (b"%PDF", "application/pdf", "content_type_unknown"),
        (b"x", None, "content_type_missing"),
        (b"\xff", "text/plain", "undecodable"),
    ],
)
async def test_what_cannot_be_inspected_is_withheld_whole(
    scene: Scene, body: bytes, content_type: str | None, code: str
) -> None:
    data, view = await scene.result(scene.completed(body, content_type))
    assert (view, data.withheld, data.uninspectable) == (None, code, (code,))


async def test_a_cut_off_result_is_withheld_without_being_opened(scene: Scene) -> None:
    completed = scene.completed(b'{"a":1}', truncated=True)
    scene.sealer.held.clear()
    data, view = await scene.result(completed)
    assert (view, data.withheld) == (None, "response_cut_off")


async def test_a_result_whose_keys_were_erased_is_withheld(scene: Scene) -> None:
    completed = scene.completed(b"{}")
    scene.sealer.errors.append(Rejected("key_missing"))
    data, view = await scene.result(completed)
    assert (view, data.withheld) == (None, "key_missing")


async def test_findings_beyond_what_an_event_holds_withhold_the_result(scene: Scene) -> None:
    scene.log.faults["result_masked"] = ["too_large"]
    data, view = await scene.result(scene.completed(b'{"card":"%s"}' % CARD.encode()))
    assert (view, data.findings, data.withheld) == (None, (), "too_many_findings")
    assert data.status == 200


async def test_nothing_that_was_masked_is_logged(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    scene.log.faults["arguments_masked"] = ["too_large"]
    data, _ = await scene.arguments(b'{"card":"%s"}' % CARD.encode())
    result, _ = await scene.result(scene.completed(f'{{"{CARD}":"{CARD}"'.encode()))
    assert CARD not in caplog.text + data.model_dump_json() + result.model_dump_json()
