"""Which DPoP proofs were used, on ADMISSION: one replica records a proof's first use, every other is refused it."""

from nats.aio.client import Client

from callgate.errors import LostRace
from callgate.identity.binding import KEPT
from callgate.records import publish_acknowledged
from contracts.subjects import proof_subject


class JetStreamUsedProofs:
    """`binding.UsedProofs`. The broker forgets a use by itself once no clock would take the proof any more."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def use(self, proof: str) -> bool:
        headers = {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-TTL": f"{KEPT}s"}
        try:
            await publish_acknowledged(self._client, proof_subject(proof), b"", headers)
        except LostRace:
            return False
        return True
