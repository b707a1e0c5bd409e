"""What functions' schemas say, in the place of the live catalog's."""

from collections.abc import Mapping

from services.masking.hints import NO_HINTS, Hints


class HintsBook:
    """The hints of these functions."""

    def __init__(self, hints: Mapping[str, Hints]) -> None:
        self._hints = hints

    async def __call__(self, function: str) -> Hints:
        return self._hints.get(function, NO_HINTS)
