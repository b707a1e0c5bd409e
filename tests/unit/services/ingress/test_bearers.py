"""For how long a token lets wait."""

from typing import Any

import pytest
from ingress_calls import AGENT, NOW

from callgate.identity.claims import Verified
from callgate.identity.errors import Refusal
from services.ingress.bearers import Bearers

TOKEN = Verified(AGENT, NOW.timestamp() - 60, NOW.timestamp() + 90, NOW.timestamp() - 60, None)


class Book:
    changes = 7

    def __init__(self, *revoked: Verified) -> None:
        self._revoked = revoked

    def revoked(self, verified: Any) -> bool:
        return verified in self._revoked


@pytest.mark.parametrize(
    ("book", "seconds", "ended"),
    [
        (Book(), 90, None),
        (Book(), 1, None),
        (Book(), 0, Refusal.EXPIRED),
        (Book(), -5, Refusal.EXPIRED),
        (Book(TOKEN), 90, Refusal.REVOKED),
    ],
)
def test_a_token_counts_until_it_expires_or_is_revoked(book: Book, seconds: float, ended: Refusal | None) -> None:
    token = TOKEN._replace(valid_until=NOW.timestamp() + seconds) if seconds != 90 else TOKEN
    bearers = Bearers(lambda: NOW, book)
    assert bearers.seconds_left(token) == pytest.approx(seconds)
    assert (bearers.ended(token), bearers.changes) == (ended, 7)
