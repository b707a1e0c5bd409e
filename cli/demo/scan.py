"""Looking for secrets in the files of a folder, in every form in which they could lie there."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PIECE = 4 * 1024 * 1024
_OFFSETS = (0, 1, 2)


@dataclass(slots=True)
class Scan:
    """What was found where: `(name of the secret, form, file)`."""

    files: int = 0
    bytes: int = 0
    hits: list[tuple[str, str, str]] = field(default_factory=list)

    def found(self, name: str, form: str | None = None) -> list[str]:
        """The files that hold the secret of that name, in that form or in any."""
        return sorted({file for hit, how, file in self.hits if hit == name and form in (None, how)})


def forms(secret: str) -> dict[str, frozenset[bytes]]:
    """The byte strings by which a text betrays itself: plain, escaped as JSON may, base64 at any offset, hex."""
    data = secret.encode()
    lower, upper = ("".join(f"\\u{ord(character):04{x}}" for character in secret) for x in "xX")
    return {
        "plain": frozenset({data, secret.encode("utf-16-le"), secret.encode("utf-16-be")}),
        "JSON": frozenset({json.dumps(secret)[1:-1].encode(), lower.encode(), upper.encode()}),
        "base64": frozenset(
            piece for encode in (base64.b64encode, base64.urlsafe_b64encode) for piece in _inside(data, encode)
        ),
        "hex": frozenset({data.hex().encode(), data.hex().upper().encode()}),
    }


def scan(folder: Path, secrets: Mapping[str, str], leave_out: Iterable[Path] = ()) -> Scan:
    """Reads every file under the folder for every form of every secret (name → text, six characters at least)."""
    needles = [
        (name, form, needle)
        for name, secret in secrets.items()
        for form, variants in forms(secret).items()
        for needle in variants
    ]
    overlap = max((len(needle) for _, _, needle in needles), default=1) - 1
    left_out = {path.resolve() for path in leave_out}
    result = Scan()
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.resolve() in left_out:
            continue
        result.files += 1
        found: set[tuple[str, str]] = set()
        with path.open("rb") as file:
            tail = b""
            while piece := file.read(_PIECE):
                result.bytes += len(piece)
                text = tail + piece
                found |= {(name, form) for name, form, needle in needles if needle in text}
                tail = text[-overlap:] if overlap else b""
        result.hits += [(name, form, str(path.relative_to(folder))) for name, form in sorted(found)]
    return result


def _inside(data: bytes, encode: Callable[[bytes], bytes]) -> Iterable[bytes]:
    """How bytes look inside a longer base64 text, at each alignment, without the characters shared with neighbours."""
    for offset in _OFFSETS:
        encoded = encode(b"\0" * offset + data)
        first = -(-offset * 8 // 6)
        last = (offset + len(data)) * 8 // 6
        yield encoded[first:last]
