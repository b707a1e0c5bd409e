"""What `callgate up` prints to paste."""

import subprocess
from pathlib import Path

from cli.welcome import on_path


def test_pasted_it_has_plain_callgate_be_the_installed_one(tmp_path: Path) -> None:
    scripts = tmp_path / "with a space" / "bin"
    scripts.mkdir(parents=True)
    assert on_path(scripts) == [], "nothing is installed there"
    (scripts / "callgate").write_text("#!/bin/sh\necho it\n")
    (scripts / "callgate").chmod(0o755)
    (line,) = on_path(scripts)
    assert subprocess.check_output(["sh", "-euc", f"{line}\ncallgate"], text=True) == "it\n"
