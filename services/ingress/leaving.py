"""Whether the client of a request has left: asked for, and told the moment that its connection is lost."""

import contextlib
from collections.abc import Callable, Iterator

from fastapi import Request

from callgate.connections import LOST, Loss


class Leaving:
    """Of one request. Called, it says whether the client is gone."""

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        self._request = request

    async def __call__(self) -> bool:
        return await self._request.is_disconnected()

    @contextlib.contextmanager
    def telling(self, whom: Callable[[], None]) -> Iterator[None]:
        """Has `whom` called once the connection is lost, while the context lasts."""
        loss: Loss = self._request.scope.get(LOST) or Loss()
        loss.tell(whom)
        try:
            yield
        finally:
            loss.forget(whom)
