"""A response body of bounded size, whatever the upstream sends: the limit counts decompressed bytes."""

import zlib

_SLACK = 64 * 1024
"""Bytes by which a compressed body may exceed its limit on the wire: headers of gzip members that hold nothing."""


class BoundedBody:
    """Collects the chunks of one response. `whole` says, at the end, whether `data` is all of it.

    `encoding` is the value of `Content-Encoding`. Of one that was not asked for (anything but gzip and deflate)
    nothing is kept: bytes that nobody can inspect must not pass for a result.
    """

    def __init__(self, limit: int, encoding: str = "") -> None:
        self.data = bytearray()
        self._limit = limit
        self._received = 0
        self._damaged = False
        match encoding.strip().lower():
            case "" | "identity":
                self._compressed, self._readable = False, True
            case "gzip" | "x-gzip" | "deflate":
                self._compressed, self._readable = True, True
            case _:
                self._compressed, self._readable = False, False
        self._inflate = zlib.decompressobj(wbits=47)  # 32 + 15: gzip or zlib, by its first bytes

    def feed(self, chunk: bytes) -> bool:
        """Takes the next bytes from the wire; False when no more are wanted (the limit, damage, an unknown coding)."""
        within = chunk[: max(self._limit + _SLACK - self._received, 0)] if self._compressed else chunk
        self._received += len(chunk)
        if not self._readable:
            self._damaged = True
        elif self._compressed:
            self._decompress(within)
            self._damaged |= len(within) < len(chunk)
        else:
            self.data += chunk[: self._limit + 1 - len(self.data)]
        return not self._damaged and len(self.data) <= self._limit

    def finish(self) -> tuple[bytes, bool]:
        """The body, at most `limit` bytes, and whether it is whole."""
        unfinished = self._compressed and self._received > 0 and not self._inflate.eof
        whole = not self._damaged and not unfinished and len(self.data) <= self._limit
        return bytes(self.data[: self._limit]), whole

    def _decompress(self, chunk: bytes) -> None:
        while chunk and not self._damaged and len(self.data) <= self._limit:
            if self._inflate.eof:  # RFC 1952, 2.2: a gzip file is a series of members
                self._inflate = zlib.decompressobj(wbits=47)
            try:
                self.data += self._inflate.decompress(chunk, self._limit + 1 - len(self.data))
            except zlib.error:
                self._damaged = True
            chunk = self._inflate.unused_data
