"""Text that comes in chunks: masked as it comes, with just enough of its end held back that nothing sensitive slips
through where one chunk ends and the next begins.

Text is let go up to a cut. A cut is safe where nothing that a detector could find lies across it: after a blank (or a
CJK character or a mark that ends a token, where there is no blank), at least `hold` characters before the end of what
has come, in no hit, and not between the BEGIN and END of a PEM block or two lines of one base64 text. Where no cut is
safe within `cap` characters the text is withheld: nothing is held back, or let go, without bound.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

UNINSPECTABLE: Final = "[UNINSPECTABLE]"
HOLD: Final = 512
"""Characters of the longest value with blanks in it, however it is spelled; longer ones have none, or are PEM."""
CAP: Final = 64 * 1024
_CONTEXT: Final = 128
"""Characters before a cut, and behind it, that detectors see for the sake of what is next to them."""
_STEP: Final = 256
"""How much more has to come before it is worth looking again."""
_SLICE: Final = 16 * 1024


class Replacement(NamedTuple):
    """What is put in place of a half-open span of code points."""

    start: int
    end: int
    text: str
    entity: str


Mask = Callable[[str], Sequence[Replacement] | None]
"""What to replace in a text: disjoint, in order. None where it cannot be inspected. Looks no further than 64 characters
around what it finds."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Masked text that may go on. The spans of `replacements` count from the start of the stream's raw text."""

    text: str
    replacements: tuple[Replacement, ...] = ()
    uninspectable: str = ""
    """Empty, or why a part was withheld (`[UNINSPECTABLE]` in the text): `too_large`, or `detector_failed`."""


def mask_stream(chunks: Iterable[str], mask: Mask, *, hold: int = HOLD, cap: int = CAP) -> Iterator[Piece]:
    """Masks a stream of text, however it is cut into chunks. Raises what `chunks` raises; then nothing held back is
    let go."""
    stream = StreamMasker(mask, hold=hold, cap=cap)
    for chunk in chunks:
        yield from stream.feed(chunk)
    yield from stream.finish()


async def mask_async_stream(
    chunks: AsyncIterable[str], mask: Mask, *, hold: int = HOLD, cap: int = CAP
) -> AsyncIterator[Piece]:
    """The same for what comes asynchronously."""
    stream = StreamMasker(mask, hold=hold, cap=cap)
    async for chunk in chunks:
        for piece in stream.feed(chunk):
            yield piece
    for piece in stream.finish():
        yield piece


_BLANK: Final = re.compile(r"\s")
_BOUNDARY: Final = re.compile("[\\s,;<>{}\"'()\\[\\]|\u3001-\u3020\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----")
_END: Final = re.compile(r"-----END [A-Z0-9 ]{1,40}-----")
_LONGEST_MARK: Final = 64
_LINE_OF_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{60,80}\r?\n?\Z")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_=-]")


class StreamMasker:
    """One stream. Not thread-safe; after an exception of `mask` it is of no use: what it held is never let go."""

    def __init__(self, mask: Mask, *, hold: int = HOLD, cap: int = CAP) -> None:
        self._mask = mask
        self._hold = hold + _CONTEXT
        self._cap = max(cap, 2 * self._hold)
        self._raw = ""
        """What has come: first `_seen` characters that were let go already, for their context."""
        self._seen = 0
        self._offset = 0
        """Of `_raw` in the stream."""
        self._look_at = self._hold + _STEP
        """How much must be pending before it is looked at."""
        self._resume: re.Pattern[str] | None = None
        """What ends the text that is being withheld."""

    def feed(self, chunk: str) -> Iterator[Piece]:
        """Takes the next chunk, gives what may go on. To be iterated to its end before the next call."""
        for start in range(0, len(chunk), _SLICE):
            self._raw += chunk[start : start + _SLICE]
            while (pending := self._withhold()) >= self._look_at:
                piece = self._let_go(pending)
                if piece is not None:
                    yield piece

    def finish(self) -> Iterator[Piece]:
        """Gives what was held back."""
        if not self._withhold():
            return
        found = self._found()
        yield Piece(UNINSPECTABLE, (), "detector_failed") if found is None else self._piece(len(self._raw), found)

    def _withhold(self) -> int:
        """Drops what has come of a text that is withheld; how much is pending then."""
        if self._resume is not None:
            # A mark may have begun in what was dropped before; a blank is one character.
            start = self._seen if self._resume is _BLANK else max(0, self._seen - _LONGEST_MARK)
            end = self._resume.search(self._raw, start)
            seen = end.end() if end else len(self._raw)
            self._drop(max(0, seen - _CONTEXT), seen)
            if end:
                self._resume = None
        return len(self._raw) - self._seen

    def _let_go(self, pending: int) -> Piece | None:
        """Up to the last safe cut; None where there is none yet."""
        found = self._found()
        cut = None if found is None else self._cut(found)
        if found is not None and cut is not None:
            piece = self._piece(cut, found)
            self._drop(max(0, cut - _CONTEXT), cut)
            self._look_at = self._hold + _STEP
            return piece
        if found is not None and pending < self._cap:
            self._look_at = min(self._cap, pending + max(_STEP, pending // 2))
            return None
        # A PEM block ends with its mark; anything else with its token, of which the end may be here already.
        block = self._open_block() is not None
        self._resume = _END if block else _BLANK
        self._seen = len(self._raw) if block else max(self._seen, len(self._raw) - self._hold)
        self._look_at = self._hold + _STEP
        return Piece(UNINSPECTABLE, (), "too_large" if found is not None else "detector_failed")

    def _found(self) -> Sequence[Replacement] | None:
        found = self._mask(self._raw)
        return None if found is None else [one for one in found if one.end > self._seen]

    def _cut(self, found: Sequence[Replacement]) -> int | None:
        limit = len(self._raw) - self._hold
        block = self._open_block()
        if block is not None:
            limit = min(limit, block)
        for boundary in (_BLANK, _BOUNDARY):
            cuts = [match.end() for match in boundary.finditer(self._raw, self._seen, max(limit, self._seen))]
            hit = len(found) - 1
            for cut in reversed(cuts):
                while hit >= 0 and found[hit].start >= cut:
                    hit -= 1
                if (hit < 0 or found[hit].end <= cut) and not self._within_base64(cut):
                    return cut
        return None

    def _within_base64(self, cut: int) -> bool:
        return bool(_BASE64.match(self._raw, cut)) and bool(_LINE_OF_BASE64.search(self._raw[max(0, cut - 82) : cut]))

    def _open_block(self) -> int | None:
        """Where the last PEM block begins that has no end yet."""
        begins = [match.start() for match in _BEGIN.finditer(self._raw)]
        if not begins or _END.search(self._raw, begins[-1]):
            return None
        ends = [match.end() for match in _END.finditer(self._raw)]
        return next(begin for begin in begins if not ends or begin >= ends[-1])

    def _piece(self, end: int, found: Sequence[Replacement]) -> Piece:
        """The pending text up to `end`, masked. A hit that begins in what was let go is masked from there on."""
        parts: list[str] = []
        replacements: list[Replacement] = []
        position = self._seen
        for one in found:
            if one.start >= end:
                break
            start = max(one.start, self._seen)
            parts += (self._raw[position:start], one.text)
            replacements.append(one._replace(start=start + self._offset, end=one.end + self._offset))
            position = one.end
        parts.append(self._raw[position:end])
        return Piece("".join(parts), tuple(replacements))

    def _drop(self, start: int, seen: int) -> None:
        """Forgets what is before `start`; what is before `seen` was let go, or is withheld."""
        self._raw = self._raw[start:]
        self._offset += start
        self._seen = seen - start
