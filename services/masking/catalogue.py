"""Every built-in detector, and the table of what is found by what evidence."""

from dataclasses import dataclass
from typing import Final

from services.masking.entities.britain import BRITAIN
from services.masking.entities.central_europe import CENTRAL_EUROPE
from services.masking.entities.contact import CONTACT
from services.masking.entities.dates import DATES
from services.masking.entities.east_asia import EAST_ASIA
from services.masking.entities.germany import GERMANY
from services.masking.entities.india import INDIA
from services.masking.entities.key_tables import TABLE
from services.masking.entities.latin_america import LATIN_AMERICA
from services.masking.entities.network import NETWORK
from services.masking.entities.northern_europe import NORTHERN_EUROPE
from services.masking.entities.oceania_canada import OCEANIA_CANADA
from services.masking.entities.payment import PAYMENT
from services.masking.entities.secrets import SECRETS
from services.masking.entities.southeast_asia import SOUTHEAST_ASIA
from services.masking.entities.southern_europe import SOUTHERN_EUROPE
from services.masking.entities.turkey_africa import TURKEY_AFRICA
from services.masking.entities.united_states import UNITED_STATES
from services.masking.recogniser import BAR, CERTAIN, LONE, Detectors, Finder, Recogniser

_ALL: Final[tuple[Recogniser | Finder, ...]] = (
    *PAYMENT,
    *CONTACT,
    *NETWORK,
    *DATES,
    *SECRETS,
    *UNITED_STATES,
    *OCEANIA_CANADA,
    *LATIN_AMERICA,
    *BRITAIN,
    *GERMANY,
    *CENTRAL_EUROPE,
    *SOUTHERN_EUROPE,
    *NORTHERN_EUROPE,
    *TURKEY_AFRICA,
    *INDIA,
    *EAST_ASIA,
    *SOUTHEAST_ASIA,
)
BUILT_IN: Final = Detectors(
    tuple(one for one in _ALL if isinstance(one, Recogniser)), tuple(one for one in _ALL if isinstance(one, Finder))
)


@dataclass(frozen=True, slots=True)
class Row:
    """An entity, where a detector or key finds it, and by what evidence."""

    entity: str
    found: str
    evidence: str
    source: str


_ANYWHERE: Final = "anywhere"
_NOT_IDENTIFIERS: Final = "anywhere but under identifiers"
_ALONE: Final = "by itself, or with a word"
_WORD: Final = "with a word"
_KEY: Final = "under its key"


def entities() -> frozenset[str]:
    """Every entity that built-in detectors and keys name."""
    return frozenset(row.entity for row in catalogue())


def catalogue() -> tuple[Row, ...]:
    """One row for each way in which an entity is found, by entity; the surest way first."""
    ranks = (_ANYWHERE, _NOT_IDENTIFIERS, _ALONE, _WORD, _KEY)
    rows = {
        *(Row(one.entity, _found(one), one.evidence, one.source) for one in BUILT_IN.recognisers),
        *(Row(entity, _ANYWHERE, one.evidence, one.source) for one in BUILT_IN.finders for entity in one.entities),
        *(
            Row(entity, _KEY, "the key, and a value that could be that", "")
            for entity in {"PERSON", *(entity for entity, _ in TABLE.values())}
        ),
    }
    return tuple(sorted(rows, key=lambda row: (row.entity, ranks.index(row.found), row.evidence)))


def _found(recogniser: Recogniser) -> str:
    if recogniser.score >= CERTAIN:
        return _ANYWHERE
    if recogniser.score >= BAR:
        return _NOT_IDENTIFIERS
    return _ALONE if recogniser.score >= LONE else _WORD
