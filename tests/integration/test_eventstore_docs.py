"""The worked example of docs/eventstore.md does what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from bench import bare_server

PAGE = Path(__file__).parents[2] / "docs" / "eventstore.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_example_prints_what_the_page_says(tmp_path: Path) -> None:
    module, program = blocks("python")
    (tmp_path / "kennel.py").write_text(module)
    (tmp_path / "program.py").write_text(program)
    with bare_server.running(tmp_path / "store") as url:
        environment = {**os.environ, "NATS_URL": url, "PYTHONPATH": f"{tmp_path}:{PAGE.parents[1]}"}
        ran = subprocess.run(
            [sys.executable, "-W", "error", str(tmp_path / "program.py")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.stderr == ""
    assert ran.stdout == blocks("text")[0]
