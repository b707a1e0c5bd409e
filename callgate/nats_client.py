"""nats-py's client with a header parser that does not cost a tenth of a call, and requests that can be cancelled.

Every message here has some ten headers; nats-py looks at each character of each name by itself. The override keeps
its results for all that a broker sends (`tests/unit/callgate/test_nats_client.py` compares the two).
"""

import asyncio
from typing import Any, ClassVar

from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg

_WHITE = " \t\n\r\x0b\x0c"
"""What `bytes.strip` strips."""
_KEPT = 256


class LeanClient(Client):
    """A drop-in client. Header names that were found good are remembered, since the same dozen come every time."""

    _names: ClassVar[dict[str, str | None]] = {}

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        headers: dict[str, str] = {}
        names = LeanClient._names
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            written, colon, value = line.partition(":")
            if not colon:
                continue
            name = names[written] if written in names else _token(written)
            if name is not None:
                headers[name] = value.strip(_WHITE)
        return headers

    async def request(self, *args: Any, **more: Any) -> Msg:
        """As nats-py's, but for a task that is cancelled as the reply arrives.

        nats-py waits with `asyncio.wait_for`, which before Python 3.12 then returns the reply: the task would go on as
        if nobody had cancelled it, and whoever waits for its end (a task group as a service stops), for ever.
        """
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            return await super().request(*args, **more)
        finally:
            if task and task.cancelling() > before:
                raise asyncio.CancelledError


def _token(written: str) -> str | None:
    """A header's name as nats-py takes it, or None for one that it skips: not ASCII, or with white space in it."""
    stripped = written.strip(_WHITE)
    name = stripped if stripped.isascii() and (not stripped or stripped.split() == [stripped]) else None
    if len(LeanClient._names) < _KEPT:
        LeanClient._names[written] = name
    return name


class LeanBroker(NatsBroker):
    """FastStream's broker on that client."""

    async def _connect(self) -> Client:
        client = LeanClient()
        connection: dict[str, Any] = dict(self._connection_kwargs)
        await client.connect(**connection)
        self.config.connect(client)
        return client
