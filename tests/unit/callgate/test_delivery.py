"""What is acknowledged when, where the key ring of this host may lag behind a rotation."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from nats.aio.msg import Msg

from callgate.delivery import Deliveries
from callgate.log.messages import Alien, Message, Verifier
from callgate.telemetry import PassingTracer


class StrangerEverywhere:
    """A verifier that knows nobody's key."""

    def __init__(self, code: str) -> None:
        self._code = code

    def verify(self, message: Message) -> Alien:
        return Alien(message.subject, message.sequence, self._code, message.recorded_at)


class Pushed:
    """A delivery as nats-py hands it over, which notes how it was settled."""

    def __init__(self, number: int, age: timedelta) -> None:
        self.subject, self.data = "calls.1-0.s.c.requested", b""
        self.headers: dict[str, str] = {}
        self.metadata = SimpleNamespace(
            timestamp=datetime.now(UTC) - age, sequence=SimpleNamespace(stream=1), num_delivered=number
        )
        self.settled: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def ack(self) -> None:
        self.settled.set_result("acknowledged")

    async def nak(self, delay: float) -> None:
        self.settled.set_result(f"again in {delay}")


async def settled(code: str, number: int, age: timedelta = timedelta(0)) -> str:
    verifier = cast(Verifier, StrangerEverywhere(code))
    deliveries = Deliveries("masking", verifier, PassingTracer(), 30, lambda _: None)
    pushed: Any = Pushed(number, age)
    await deliveries.on_events({})(cast(Msg, pushed))
    return await asyncio.wait_for(pushed.settled, 10)


async def test_an_event_of_an_unknown_key_waits_for_a_newer_ring_however_late() -> None:
    assert await settled("unknown_key", 1) == "again in 0.1"
    assert await settled("unknown_key", 11) == "again in 10.0"
    for number in (12, 1_000, 1_000_000):  # over the first minute, a broker with many of them is spared
        assert await settled("unknown_key", number) == "again in 30.0"


async def test_an_event_of_an_unknown_key_is_given_up_after_a_day() -> None:
    assert await settled("unknown_key", 50, timedelta(hours=23)) == "again in 30.0"
    assert await settled("unknown_key", 50, timedelta(hours=25)) == "acknowledged"


async def test_any_other_alien_is_acknowledged_at_once() -> None:
    assert await settled("bad_signature", 1) == "acknowledged"
