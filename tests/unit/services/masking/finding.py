"""What masking's unit tests ask: the spans that some detectors find in one text, in its place."""

from services.masking.leaf import Leaf
from services.masking.recogniser import Detectors, Finder, Hit, Recogniser
from services.masking.scanning import Scanner


def hits(
    text: str, detectors: tuple[Recogniser | Finder, ...], *keys: str | int, lone: bool | None = None
) -> list[Hit]:
    """The hits in a leaf under these keys; without any, the text is all there is, unless `lone` says otherwise."""
    machine = Scanner(
        Detectors(
            tuple(one for one in detectors if isinstance(one, Recogniser)),
            tuple(one for one in detectors if isinstance(one, Finder)),
        )
    )
    leaf = Leaf(text, keys, lambda steps: None, lone=not keys if lone is None else lone)
    return sorted(machine.hits(leaf))


def found(
    text: str, detectors: tuple[Recogniser | Finder, ...], *keys: str | int, lone: bool | None = None
) -> set[tuple[str, str]]:
    """The same as pairs of entity and what was found."""
    return {(hit.entity, text[hit.start : hit.end]) for hit in hits(text, detectors, *keys, lone=lone)}
