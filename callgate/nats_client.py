"""nats-py's client with a header parser that does not cost a tenth of a call.

Every message here has some ten headers; nats-py looks at each character of each name by itself. The override keeps
its results for all that a broker sends (`tests/unit/callgate/test_nats_client.py` compares the two).
"""

from typing import Any, ClassVar

from faststream.nats import NatsBroker
from nats.aio.client import Client

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
