"""The operator's own detectors and lists in callgate.yaml: `masking.detectors`, `deny`, `allow`, `disable`.

What can be told without reading files or running anything is told here, so that an error names its line.
"""

from pathlib import Path
from typing import Annotated, Any

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
