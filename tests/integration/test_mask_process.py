"""`callgate mask` as a process: what is safe comes while the input still runs, and an interrupt loses nothing."""

import json
import signal
import subprocess
import sys
from pathlib import Path

LINE = "user jane.roe@example.com paid with 4111 1111 1111 1111\n"
MASKED = LINE.replace("jane.roe@example.com", "[EMAIL_ADDRESS]").replace("4111 1111 1111 1111", "[CREDIT_CARD]")


def mask(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    code = "from cli.mask_commands import app; app()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
    )


def test_a_log_is_masked_as_it_is_written(tmp_path: Path) -> None:
    with mask(tmp_path, "--stream") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(LINE.encode() * 100)
        process.stdin.flush()
        first = [process.stdout.readline().decode() for _ in range(80)]  # would wait for ever if nothing came
        assert first == [MASKED] * 80
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().decode()
        assert rest == MASKED * 20
        assert process.wait() == 130


def test_lines_are_answered_one_by_one(tmp_path: Path) -> None:
    with mask(tmp_path, "--jsonl") as process:
        assert process.stdin
        assert process.stdout
        for number in range(3):
            process.stdin.write(json.dumps({"n": number, "note": LINE}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["masked"] == {"n": number, "note": MASKED}
        process.stdin.close()
        assert process.wait() == 0


def test_a_reader_that_goes_away_ends_it_without_a_traceback(tmp_path: Path) -> None:
    with mask(tmp_path, "--jsonl") as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"1\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"2\n3\n")
        process.stdin.close()
        assert process.wait() == 1
        assert process.stderr.read() == b""
