"""What the doctor says: one line a finding."""

from dataclasses import dataclass
from typing import Literal

from cli import output
from cli.output import printable, styled

Level = Literal["ok", "note", "warn", "FAIL"]
_COLOURS: dict[Level, str] = {"ok": "green", "note": "cyan", "warn": "yellow", "FAIL": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`text` says how it is and, unless all is well, what to do. It never shows a secret."""

    level: Level
    subject: str
    text: str

    def __str__(self) -> str:
        """`warn  clock        this machine is 3.1 s ahead…`."""
        level = styled(self.level, _COLOURS[self.level], bold=self.level == "FAIL")
        return f"{level}{' ' * (6 - len(self.level))}{self.subject:12} {printable(self.text)}"


def show(findings: "list[Finding]") -> None:
    for finding in findings:
        output.say(str(finding))
