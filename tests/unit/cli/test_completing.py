"""The shell's completion of names of functions."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer

from cli.completing import function_names

FUNCTIONS = [{"name": name, "description": f"Does {name}."} for name in ("crm.read", "crm.write", "payments.refund")]


class Door(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == "/v1/functions" and self.headers["Authorization"] == "Bearer t"
        self.send_response(200 if found else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"functions": FUNCTIONS} if found else {"code": "missing_token"}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Door) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.completing._SECONDS", 60.0)  # what it imports may take long the first time


def names(url: str, token: str | None, incomplete: str) -> list[tuple[str, str]]:
    context = SimpleNamespace(params={"url": url, "token": token})
    return function_names(cast("typer.Context", context), incomplete)


def test_functions_are_completed_by_name(url: str) -> None:
    assert names(url, "t", "crm.") == [("crm.read", "Does crm.read."), ("crm.write", "Does crm.write.")]


def test_without_a_token_that_is_taken_there_is_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLGATE_TOKEN", raising=False)
    assert names(url, "other", "crm.") == names(url, None, "crm.") == []
