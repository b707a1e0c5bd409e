"""Whether the client of a request has left: asked for, and told the moment that its connection is lost; and whose token
came with the request, which says for how long its client may stay."""

import contextlib
from collections.abc import Callable, Iterator

from fastapi import Request

from callgate.connections import LOST, Loss
from callgate.identity.binding import VERIFIED
from callgate.identity.claims import Verified


class Leaving:
    """Of one request. Called, it says whether the client is gone."""

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        self._request = request

    async def __call__(self) -> bool:
        return await self._request.is_disconnected()

    @property
    def bearer(self) -> Verified | None:
        """The token of the request, once its sender was identified by it."""
        return verified_of(self._request)

    @contextlib.contextmanager
    def telling(self, whom: Callable[[], None]) -> Iterator[None]:
        """Has `whom` called once the connection is lost, while the context lasts."""
        loss: Loss = self._request.scope.get(LOST) or Loss()
        loss.tell(whom)
        try:
            yield
        finally:
            loss.forget(whom)


def verified_of(request: Request) -> Verified | None:
    """The token of a request whose sender was identified by it."""
    verified: Verified | None = request.scope.get(VERIFIED)
    return verified


def bearer_of(gone: object) -> Verified | None:
    """The token of whoever waits, where they came with a request."""
    return gone.bearer if isinstance(gone, Leaving) else None
