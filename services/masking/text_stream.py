"""What `streaming` asks of the detectors: what to replace in a part of a text that comes in chunks."""

from typing import Final

from contracts.model import JsonValue
from services.masking.domain import mask
from services.masking.machine import Machine
from services.masking.strategies import Disguise, Written, redacted
from services.masking.streaming import Mask, Replacement

_BESIDE: Final = ""
"""What a part's text stands beside, so that it is not taken for a document that is one value by itself."""


def replacing(machine: Machine, disguise: Disguise) -> Mask:
    """Masks a part of a text as the whole text would be, but for what is weak and stands all alone."""

    def replacements(part: str) -> list[Replacement] | None:
        written: list[tuple[str, Written]] = []

        def noted(entity: str, text: str, scalar: JsonValue = None) -> Written:
            written.append((text, disguise(entity, text, scalar)))
            return written[-1][1]

        masked = mask([part, _BESIDE], machine=machine, disguise=noted)
        if masked.uninspectable or len(written) != len(masked.findings):
            return None
        replaced: list[Replacement] = []
        for finding, (found, shown) in zip(masked.findings, written, strict=True):
            if shown is None:
                continue
            # What is left out, or wrapped (base64, a JSON text …), cannot be written in its own spelling here.
            fits = isinstance(shown, str) and found == part[finding.start : finding.end]
            written_as = str(shown) if fits else redacted(finding.entity)
            replaced.append(Replacement(finding.start, finding.end, written_as, finding.entity))
        return replaced

    return replacements
