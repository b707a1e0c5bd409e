"""How the demo tells its story: steps, who says what, and checks, line by line."""

import time
from dataclasses import dataclass, field
from typing import Any

from cli import output
from cli.output import printable, styled

_WIDTH = 180
_LONG = 4000


@dataclass(slots=True)
class Story:
    """Prints as it goes, and counts what did not come out as told."""

    checks: int = 0
    failures: list[str] = field(default_factory=list)
    milliseconds: dict[str, float] = field(default_factory=dict)
    """By step, in order."""
    _step: str = ""
    _began: float = 0.0

    def begin(self, title: str) -> None:
        self._step, self._began = title, time.perf_counter()
        output.say()
        output.say(styled(title, "cyan", bold=True))

    def end(self) -> None:
        self.milliseconds[self._step] = (time.perf_counter() - self._began) * 1000

    def line(self, who: str, text: str, width: int = _WIDTH) -> None:
        """What somebody did or saw."""
        flat = printable(text)
        output.say(f"  {who:10} {flat if len(flat) <= width else flat[:width] + '…'}")

    def check(self, claim: str, came: Any, expected: Any = True) -> bool:
        """One claim of the story: what came must equal what is expected."""
        self.checks += 1
        if came == expected:
            output.say(f"  {styled('ok', 'green')}         {claim}")
            return True
        self.fail(claim)
        self.line("  expected", repr(expected), _LONG)
        self.line("  came", repr(came), _LONG)
        return False

    def fail(self, claim: str) -> None:
        self.failures.append(f"{self._step}: {claim}")
        output.say(f"  {styled('FAIL', 'red', bold=True)}       {printable(claim)}")
