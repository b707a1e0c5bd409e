"""Calls that came through the proxy, as the executor runs them: read anew, and answered with their headers."""

import json
from dataclasses import replace

import pytest
from executor_scene import CATALOG, OK, Scene
from memory_log import Calls

from callgate.http_mapping.received import Received
from callgate.sealing import Place
from contracts.events import ExecutionCompleted, ExecutionFailed, Recorded

SENT = Received("/pay", "", (("content-type", "application/json"), ("if-match", '"v7"')), b'{ "amount" : 40 }')


def allowed(scene: Scene, request: bytes | None, arguments: bytes = b'{"amount":40}') -> Recorded:
    calls = Calls(scene.log, scene.sealer, "shop.pay", arguments, request)
    return calls.allowed(CATALOG.digest_of("shop.pay"))


async def headers_of(scene: Scene, order: Recorded) -> list[list[str]] | None:
    head = scene.log.call(order.ref).head
    assert head is not None
    assert isinstance(head.data, ExecutionCompleted)
    if head.data.headers is None:
        return None
    place = Place(head.ref, head.event.event_id, "headers")
    headers: list[list[str]] = json.loads(await scene.sealer.open(head.data.headers, place, "raw"))
    return headers


async def test_it_is_sent_as_it_came() -> None:
    scene = Scene()
    scene.runner.outcomes = [replace(OK, headers=(("etag", '"v8"'), ("location", "/x")))]
    order = allowed(scene, SENT.encode())
    await scene.deliver(order)
    (sent,) = scene.runner.sent
    assert (sent.request.body, dict(sent.request.headers)["If-Match"]) == (SENT.body, '"v7"')
    assert await headers_of(scene, order) == [["etag", '"v8"'], ["location", "/proxy/shop/x"]]


async def test_what_was_judged_is_sent_where_it_says_something_else() -> None:
    scene = Scene()
    await scene.deliver(allowed(scene, SENT.encode(), b'{"amount":4}'))
    (sent,) = scene.runner.sent
    assert (sent.request.body, dict(sent.request.headers)["If-Match"]) == (b'{"amount":4}', '"v7"')


async def test_other_doors_are_told_no_headers() -> None:
    scene = Scene()
    scene.runner.outcomes = [replace(OK, headers=(("etag", '"v8"'),))]
    order = allowed(scene, None)
    await scene.deliver(order)
    assert await headers_of(scene, order) is None


@pytest.mark.parametrize("request_", [b"", b"{}", b'{"path":"/pay","query":"","headers":[["host","evil"]]}\n'])
async def test_what_is_no_request_is_not_run_at_all(request_: bytes) -> None:
    """It may have held a condition, under which alone the call was to run."""
    scene = Scene()
    order = allowed(scene, request_)
    await scene.deliver(order)
    assert not scene.runner.sent
    assert scene.last(order) == ExecutionFailed(code="request_malformed")
