"""`callgate mask` on what comes bit by bit: a JSON value a line, or plain text as it is written."""

import codecs
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, Protocol

import typer

from callgate.jsontext import JsonTextError, dump, parse
from cli import output
from contracts.model import JsonValue
from services.masking.composition import Tools
from services.masking.domain import Masked, Reading
from services.masking.streaming import Piece, StreamMasker
from services.masking.text_stream import replacing

LONGEST_LINE: Final = 64 * 1024 * 1024
"""Bytes; what is longer is not read into memory."""
_CHUNK: Final = 64 * 1024


class Masking(Protocol):
    def __call__(self, value: JsonValue) -> Masked: ...


def lines(stream: BinaryIO, masking: Masking, *, explain: bool) -> int:
    """One answer a line, in order and at once; a line that is no JSON gets an `error` and does not stop the rest, and a
    blank one is answered by a blank one, so that line numbers agree. Gives the exit code."""
    code = 0
    for number, line in enumerate(_limited(stream), start=1):
        if line is not None and not line.strip():
            _write(b"\n")
            continue
        answer: dict[str, Any]
        try:
            if line is None:
                raise JsonTextError("too_large")
            masked = masking(parse(line, numbers="lossless"))
        except JsonTextError as error:
            output.error(f"line {number} is not JSON as Callgate accepts it: {why(error)}")
            answer, code = {"masked": None, "findings": [], "error": error.code}, 1
        else:
            answer = {"masked": masked.view, "findings": [_finding(one, explain) for one in masked.readings]}
            if masked.uninspectable:
                answer["uninspectable"] = list(masked.uninspectable)
        _write(dump(answer) + b"\n")
    return code


def _limited(stream: BinaryIO) -> Iterator[bytes | None]:
    """None for a line that is too long; the rest of it is read away."""
    while line := stream.readline(LONGEST_LINE):
        if len(line) < LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while (rest := stream.readline(_CHUNK)) and not rest.endswith(b"\n"):
            pass
        yield None


def _finding(reading: Reading, explain: bool) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {
        "path": reading.path,
        "entity": reading.entity,
        "start": reading.start,
        "end": reading.end,
        "score": reading.score,
    }
    return {**found, "evidence": reading.evidence} if explain else found


def why(error: JsonTextError) -> str:
    place = (
        f" at character {error.offset}" if error.offset is not None else f" at {error.pointer}" if error.pointer else ""
    )
    return f"{error.code.replace('_', ' ')}{place}"


def text(stream: Any, tools: Tools) -> int:
    """Writes what is safe as soon as it is; the end is held back until more comes, or nothing does. Interrupted, it
    writes what it holds, masked. Gives the exit code."""
    masker = StreamMasker(replacing(tools.machine, tools.disguise(None)))
    decoder = codecs.getincrementaldecoder("utf-8")()
    codes: dict[str, None] = {}
    code = 0
    try:
        while chunk := stream.read1(_CHUNK):
            _pieces(masker.feed(decoder.decode(chunk)), codes)
        _pieces(masker.feed(decoder.decode(b"", final=True)), codes)
    except UnicodeDecodeError:
        output.error("the input is not UTF-8 from here on, so it cannot be inspected; nothing more is printed")
        return 1
    except KeyboardInterrupt:
        code = 130
    _pieces(masker.finish(), codes)
    tell_withheld(tuple(codes))
    return code


def _pieces(pieces: Iterator[Piece], codes: dict[str, None]) -> None:
    for piece in pieces:
        _write(piece.text.encode())
        if piece.uninspectable:
            codes[piece.uninspectable] = None


def tell_withheld(codes: tuple[str, ...]) -> None:
    if codes:
        typer.echo(f"withheld, since it cannot be inspected: {', '.join(codes)}", err=True)


def _write(data: bytes) -> None:
    """At once: whoever reads may wait for it."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
