"""The section `masking`: how what is found is shown, and the operator's own detectors and lists.

What can be told without reading files or running anything is told here, so that an error names its line.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import re2
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from contracts.model import Contract

EntityName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]


def _re2(pattern: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error:
        compiled = None
    if compiled is None:
        raise ValueError("not a pattern in RE2 syntax, which has no lookaround and no back references")
    if compiled.groups > 1:
        raise ValueError("more than one group; use (?:…) for all but what is to be masked")
    if compiled.search(""):
        raise ValueError("matches the empty text, so it would match everywhere")
    return pattern


def _text(value: Any) -> Any:
    """A card's number in a list need not be put in quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _one_value(value: Any) -> Any:
    return {"values": [value]} if isinstance(value, (str, int)) and not isinstance(value, bool) else value


Pattern = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_re2)]
ListedText = Annotated[str, BeforeValidator(_text), Field(min_length=2, max_length=256)]
Word = Annotated[str, Field(min_length=2, max_length=64)]


class ExampleSettings(Contract):
    """Texts on which a detector is tried at start."""

    match: tuple[str, ...] = ()
    no_match: tuple[str, ...] = ()


class DetectorSettings(Contract):
    """What the operator's own entity looks like."""

    entity: EntityName
    pattern: Pattern
    """RE2 syntax; group 1 is masked where there is one, the whole match otherwise."""
    score: float = Field(default=0.95, gt=0, le=1)
    """From 0.9: everywhere; from 0.5: but under keys that name identifiers; below: where one of `words` is near."""
    words: tuple[Word, ...] = ()
    """Words that speak for it, in a key above or within 30 characters."""
    keys: tuple[Word, ...] = ()
    """Where there are any: it is looked for below these keys alone, `employee_no` and `employeeNo` being one."""
    examples: ExampleSettings = ExampleSettings()


class DenySettings(Contract):
    """Words that are always masked, as they are or in other case: code names, customers."""

    entity: EntityName
    values: tuple[ListedText, ...] = ()
    file: Path | None = None
    """One value a line, in UTF-8; empty lines and those that begin with # are not."""

    @model_validator(mode="after")
    def _something(self) -> "DenySettings":
        if not self.values and self.file is None:
            raise ValueError("a list needs values or a file")
        return self

    def anchored(self, folder: Path) -> Self:
        """With a relative path taken from there."""
        return self.model_copy(update={"file": folder / self.file}) if self.file else self


class UnsafeAllowSettings(Contract):
    """What is never masked, such as a payment provider's test cards. Whatever it matches is shown to everybody."""

    values: tuple[ListedText, ...] = ()
    """The whole found text; blanks and dashes in it do not matter."""
    pattern: Pattern | None = None
    """RE2 syntax; must match the whole found text."""
    entities: tuple[EntityName, ...] = ()
    """Where there are any: only what was found as one of these."""

    @model_validator(mode="after")
    def _something(self) -> "UnsafeAllowSettings":
        if not self.values and self.pattern is None:
            raise ValueError("needs values or a pattern")
        return self


Allow = Annotated[UnsafeAllowSettings, BeforeValidator(_one_value)]

Strategy = Literal["redact", "partial", "hash", "token", "drop", "keep"]


class StrategySettings(Contract):
    """How the view shows what masking found; `services/masking/strategies.py` says what each of them writes."""

    default: Literal["redact", "partial", "hash", "token", "drop"] = "redact"
    """Of every entity that is not named below, but for those that nobody needs to hide (DATE_TIME, URL, AGE)."""
    entities: dict[EntityName, Strategy] = Field(default_factory=dict)


class NerSettings(Contract):
    """A spaCy model that reads long free text for names and places; the operator installs spaCy and the model."""

    model: str
    """A package's name, e.g. en_core_web_sm, or a folder."""
    entities: dict[str, EntityName] = Field(
        default_factory=lambda: {"PERSON": "PERSON", "PER": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION"}
    )
    """The model's labels, and what we call them; others do not count."""
    words: int = Field(default=8, ge=4, le=1000)
    """Of a text, below which it is not read."""


class MaskingSettings(Contract):
    strategies: StrategySettings = StrategySettings()
    detectors: tuple[DetectorSettings, ...] = ()
    """The operator's own; tried on their examples at start."""
    deny: tuple[DenySettings, ...] = ()
    """Words that are always masked."""
    allow: tuple[Allow, ...] = ()
    """What is never masked: exact values, or `{values, pattern, entities}`. Deny lists win."""
    disable: tuple[EntityName, ...] = ()
    """Built-in entities that are not looked for."""
    ner: NerSettings | None = None
    """Off unless configured."""

    def anchored(self, folder: Path) -> Self:
        """With relative paths taken from there."""
        return self.model_copy(update={"deny": tuple(one.anchored(folder) for one in self.deny)})
