"""Room for what is held open: so much in all, and of that a share for each principal, or one could keep out others."""

from collections import Counter

from contracts.identity import Principal


class TooManyHeld(Exception):
    """As many are held open as may be; `own` where the principal has its share, whatever room there is for others."""

    def __init__(self, *, own: bool = False) -> None:
        super().__init__("own" if own else "all")
        self.own = own


class Room:
    """For at most `limit`; one principal may take a `share` of that, for whomever it acts, and one at least."""

    def __init__(self, limit: int, share: float) -> None:
        self._limit = limit
        self._own_limit = max(1, int(limit * share))
        self._taken = 0
        self._own: Counter[tuple[str, str]] = Counter()

    def require(self, principal: Principal) -> None:
        """TooManyHeld where there is none."""
        if self._own[_who(principal)] >= self._own_limit:
            raise TooManyHeld(own=True)
        if self._taken >= self._limit:
            raise TooManyHeld

    def enter(self, principal: Principal) -> None:
        """TooManyHeld."""
        self.require(principal)
        self._taken += 1
        self._own[_who(principal)] += 1

    def leave(self, principal: Principal) -> None:
        self._taken -= 1
        who = _who(principal)
        self._own[who] -= 1
        if not self._own[who]:
            del self._own[who]


def _who(principal: Principal) -> tuple[str, str]:
    return principal.issuer, principal.id
