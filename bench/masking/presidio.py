"""Presidio beside Callgate: installed on demand into an environment of its own, asked in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.masking.scoring import Span
from cli.timing import Times

ROOT: Final = Path(__file__).parent.parent.parent
ENVIRONMENT: Final = ROOT / ".bench" / "presidio"
REQUIREMENT: Final = "presidio-analyzer==2.2.*"


class Answer(NamedTuple):
    """`found` has, for each engine (`default` recognisers, `all` that come with Presidio) and each list of texts that
    was asked about, what was found in each text."""

    version: str
    recognisers: dict[str, int]
    times: dict[str, Times]
    found: dict[str, list[list[list[Span]]]]


class UnavailableError(Exception):
    """Its text says why there is no Presidio to ask."""


def environment() -> Path:
    """The interpreter that has Presidio; installs it where there is none yet. Raises UnavailableError."""
    for python in (Path(sys.executable), ENVIRONMENT / "bin" / "python"):
        if python.exists() and _has_presidio(python):
            return python
    print(f"installing {REQUIREMENT} into {ENVIRONMENT.relative_to(ROOT)}, once", file=sys.stderr)
    python = ENVIRONMENT / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input", REQUIREMENT]
    for command in ([sys.executable, "-m", "venv", str(ENVIRONMENT)], install):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(f"Presidio cannot be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return python


def _has_presidio(python: Path) -> bool:
    return not subprocess.run([python, "-c", "import presidio_analyzer"], capture_output=True, check=False).returncode


def ask(python: Path, documents: Mapping[str, str], texts: Sequence[Sequence[str]]) -> Answer:
    """Its time for each document, and what it finds in each of the texts. Raises UnavailableError."""
    question = json.dumps({"documents": documents, "texts": texts})
    command = [str(python), "-W", "ignore", "-m", "bench.masking.presidio_child"]
    done = subprocess.run(command, input=question, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise UnavailableError(f"Presidio failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    engines = answer["engines"]
    return Answer(
        answer["version"],
        {name: engine["recognisers"] for name, engine in engines.items()},
        {name: Times(*times) for name, times in answer["times"].items()},
        {name: [[[Span(*s) for s in text] for text in some] for some in e["texts"]] for name, e in engines.items()},
    )
