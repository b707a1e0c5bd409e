"""What counts once and was used, on ADMISSION: DPoP proofs, and signed requests of others.

One replica records the first use, every other is refused it.
"""

from nats.aio.client import Client

from callgate.errors import LostRace
from callgate.identity.binding import KEPT
from callgate.records import publish_acknowledged
from contracts.subjects import proof_subject


class JetStreamUsedProofs:
    """`binding.UsedProofs`. The broker forgets a use by itself, `kept` seconds later: no clock takes it any more."""

    def __init__(self, client: Client, kept: int = KEPT) -> None:
        self._client = client
        self._kept = kept

    async def use(self, proof: str) -> bool:
        headers = {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-TTL": f"{self._kept}s"}
        try:
            await publish_acknowledged(self._client, proof_subject(proof), b"", headers)
        except LostRace:
            return False
        return True
