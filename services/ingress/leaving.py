"""Whether the client of a request has left: asked for, and told the moment that its connection is lost."""

import contextlib
from collections.abc import Callable, Iterator

from fastapi import Request

from callgate.connections import LOST


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
        lost: set[Callable[[], None]] = self._request.scope.get(LOST, set())
        lost.add(whom)
        try:
            yield
        finally:
            lost.discard(whom)
