"""For how long whoever waits may wait: until their token expires, or somebody revokes it."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from callgate.identity.claims import Verified
from callgate.identity.errors import Refusal


class Revocations(Protocol):
    """What is asked of `RevocationBook`."""

    @property
    def changes(self) -> int: ...
    def revoked(self, verified: Verified) -> bool: ...


class Bearers:
    """Asked of a token that was accepted when its request came."""

    def __init__(self, clock: Callable[[], datetime], revocations: Revocations) -> None:
        self._clock = clock
        self._revocations = revocations

    @property
    def changes(self) -> int:
        """As long as it stays the same, nobody revoked anything."""
        return self._revocations.changes

    def seconds_left(self, verified: Verified) -> float:
        """Until it expires, with its issuer's leeway."""
        return verified.valid_until - self._clock().timestamp()

    def ended(self, verified: Verified) -> Refusal | None:
        """Why it counts no more, as far as is known; None while it does."""
        if self._revocations.revoked(verified):
            return Refusal.REVOKED
        return Refusal.EXPIRED if self.seconds_left(verified) <= 0 else None
