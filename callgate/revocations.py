"""Which tokens people revoked: CONTROL's revocations, followed by every service that asks who somebody is."""

from collections.abc import Callable
from datetime import UTC, datetime

from nats.aio.client import Client

from callgate.control import Feed
from callgate.identity.claims import Verified
from callgate.records import Records, Standing
from contracts.identity import Principal
from contracts.records import Revoked, Unrevoked
from contracts.revocations import Revocation, Revocations
from contracts.subjects import ALL_REVOCATIONS


class RevocationBook:
    """The revocations of a deployment. Ask from memory, or `refresh` before for the leader's last word."""

    def __init__(self, client: Client, records: Records, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._revocations = Revocations()
        self.changes = 0
        """How many records were taken in: as long as it stays the same, so does what `revoked` says, but for what runs
        out."""
        feed = Feed(client, records, ALL_REVOCATIONS, self._apply)
        self.refresh = feed.refresh
        self.follow = feed.follow

    def _apply(self, standing: Standing) -> None:
        if isinstance(standing.data, Revoked | Unrevoked):
            self._revocations.apply(standing.record)
            self.changes += 1

    def get(self, revocation_id: str) -> Revocation | None:
        return self._revocations.all.get(revocation_id)

    def in_force(self) -> tuple[Revocation, ...]:
        return self._revocations.in_force(self._clock())

    def revoked(self, verified: Verified) -> bool:
        """Whether the token is revoked at this moment, as far as is known: what `Authenticator` asks."""
        issued = datetime.fromtimestamp(verified.issued_at, UTC)
        return self._revocations.ending(verified.principal, issued, self._clock()) is not None

    def ended(self, person: Principal) -> bool:
        """The same of somebody who signed in: what the session began with counts as issued when they proved who they
        are, and as older than every revocation where nothing says when that was."""
        since = person.authenticated_at or datetime.min.replace(tzinfo=UTC)
        return self._revocations.ending(person, since, self._clock()) is not None
