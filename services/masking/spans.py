"""Hits as spans: overlapping ones made one, found ones blanked, folded ones taken back to what was written."""

from collections.abc import Sequence
from typing import Final

from services.masking.folding import Folded
from services.masking.recogniser import BAR, Hit

BLANK: Final = "\0"


def original(hit: Hit, folded: Folded) -> Hit:
    start, end = folded.original(hit.start, hit.end)
    return hit._replace(start=start, end=end)


def merged(hits: list[Hit]) -> list[Hit]:
    """Disjoint hits in order. Overlapping ones become one that covers them all, under the name of the surest (then the
    longest), but what is weak by itself adds nothing to what is not: an address in a URL is no whole URL."""
    if len(hits) < 2:
        return hits
    strong = _united([hit for hit in hits if hit.score >= BAR])
    weak = [hit for hit in hits if hit.score < BAR]
    if not weak:
        return strong
    return sorted(
        (*strong, *(hit for hit in _united(weak) if not any(hit.start < s.end and s.start < hit.end for s in strong)))
    )


def _united(hits: list[Hit]) -> list[Hit]:
    united: list[Hit] = []
    for hit in sorted(hits):
        if united and hit.start < united[-1].end:
            last = united[-1]
            best = max(last, hit, key=lambda one: (one.score, one.end - one.start))
            united[-1] = best._replace(start=last.start, end=max(last.end, hit.end))
        else:
            united.append(hit)
    return united


def blanked(text: str, hits: Sequence[Hit]) -> str:
    """The text with the hits as brackets around nothing, of the same length: so offsets stay, and what stands next
    to a hit has the same neighbour as it will have in the view."""
    parts: list[str] = []
    position = 0
    for hit in hits:
        length = hit.end - hit.start
        parts += (text[position : hit.start], f"[{BLANK * (length - 2)}]"[:length])
        position = hit.end
    return "".join((*parts, text[position:]))
