"""Every built-in detector, and the table of what is found by what evidence."""

from dataclasses import dataclass
from itertools import chain
from typing import Final

from services.masking.entities.britain import BRITAIN
from services.masking.entities.central_europe import CENTRAL_EUROPE
from services.masking.entities.contact import CONTACT
from services.masking.entities.dates import DATES
from services.masking.entities.east_asia import EAST_ASIA
from services.masking.entities.germany import GERMANY
from services.masking.entities.india import INDIA
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
