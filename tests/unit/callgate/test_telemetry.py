"""Logs, metrics and spans: ids and our own codes, never anybody's text."""

import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from callgate.errors import ConfigurationError, Rejected
from callgate.log.messages import trace_context
from callgate.telemetry import PassingTracer, configure_logging, describe
from callgate.tracing import OpenTelemetryTracer, tracer_for

SECRET = "4111111111111111"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


class Coded(Exception):
    def __init__(self, code: object) -> None:
        super().__init__(SECRET)
        self.code = code


def test_an_error_is_its_type_its_code_and_its_places() -> None:
    told = describe(raised(Rejected("seal_broken", SECRET)))
    assert re.fullmatch(r"Rejected\(seal_broken\) at test_telemetry\.py:\d+", told)
    assert describe(ValueError(SECRET)) == "ValueError"


@pytest.mark.parametrize("code", [SECRET, f"card {SECRET}", 400, None, "x" * 100, "Line\nbreak"])
def test_a_foreign_code_is_not_taken_for_ours(code: object) -> None:
    assert describe(Coded(code)) == "Coded"


def test_a_chain_of_errors_shows_no_text_either() -> None:
    error = RuntimeError(SECRET)
    error.__cause__ = raised(ValueError(SECRET))
    assert SECRET not in describe(raised(error))


class Lines:
    """What a service wrote to standard error so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    @property
    def text(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """Standard error; the process' logging is restored afterwards."""
    root = logging.getLogger()
    before = {name: logging.getLogger(name).level for name in ("", "callgate", "services", "cli")}
    handlers = root.handlers[:]
    yield Lines(capsys)
    root.handlers[:] = handlers
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_is_one_json_object_with_its_ids(lines: Lines) -> None:
    configure_logging("policy", "info")
    logging.getLogger("services.policy").info("denied", extra={"call": "1-0.s.c", "code": "never"})
    line = json.loads(lines.text)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "service": "policy",
        "logger": "services.policy",
        "message": "denied",
        "call": "1-0.s.c",
        "code": "never",
    }


def test_a_line_for_people_names_the_same(lines: Lines) -> None:
    configure_logging("policy", "info", "text")
    logging.getLogger("callgate.x").warning("slow", extra={"service": "audit", "call": "1-0.s.c"})
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} warning audit     slow call=1-0\.s\.c\n", lines.text)


@pytest.mark.parametrize("style", ["json", "text"])
def test_an_exception_is_logged_without_its_text(lines: Lines, style: str) -> None:
    configure_logging("policy", "info", style)
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("services.policy").exception("it failed")
    assert SECRET not in lines.text
    assert "ValueError at test_telemetry.py:" in lines.text
    assert lines.text.count("\n") == 1


def test_a_library_that_set_up_its_own_output_is_heard_as_all_others(lines: Lines) -> None:
    library = logging.getLogger("uvicorn")
    library.addHandler(logging.StreamHandler(sys.stderr))
    library.propagate = False
    configure_logging("policy", "info")
    logging.getLogger("uvicorn.error").error("payload %s", SECRET)
    assert SECRET not in lines.text
    assert lines.text.count("a library warned at test_telemetry.py:") == 1


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize(
    "name", ["nats.aio.client", "aiohttp.server", "asyncio", "uvicorn.error", "sqlalchemy.engine", "py.warnings"]
)
def test_what_libraries_say_is_not_repeated(lines: Lines, name: str, style: str) -> None:
    configure_logging("policy", "debug", style)
    logger = logging.getLogger(name)
    logger.setLevel(logging.NOTSET)  # a server of another test in this process may have set it
    logger.error("payload %s", SECRET, extra={"value": SECRET})
    logger.warning(f"payload {SECRET}")  # noqa: G004  # as libraries do
    logger.info("payload %s", SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.exception(SECRET)
    assert SECRET not in lines.text
    assert lines.text.count("a library warned at test_telemetry.py:") == 3


def test_the_level_is_the_services(lines: Lines) -> None:
    configure_logging("policy", "warning")
    logging.getLogger("services.policy").info("quiet")
    assert lines.text == ""


# Traces


def test_without_an_endpoint_the_callers_context_is_passed_on() -> None:
    tracer = tracer_for("policy", None)
    assert isinstance(tracer, PassingTracer)
    for given in (PARENT, None):
        with tracer.span("step", given) as context:
            assert context == given


@pytest.fixture
def spans() -> tuple[OpenTelemetryTracer, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return OpenTelemetryTracer(provider), exporter


def test_spans_continue_the_callers_trace(spans: tuple[OpenTelemetryTracer, InMemorySpanExporter]) -> None:
    tracer, exporter = spans
    with tracer.span("policy arguments_masked", PARENT) as outer, tracer.span("inner", outer) as inner:
        pass
    assert outer is not None
    assert inner is not None
    assert TRACE in outer
    assert TRACE in inner
    assert len({PARENT, outer, inner}) == 3
    last, first = exporter.get_finished_spans()
    assert first.name == "policy arguments_masked"
    assert last.parent is not None
    assert first.context is not None
    assert last.parent.span_id == first.context.span_id
    assert trace_context(outer) == outer


@pytest.mark.parametrize("given", [None, "", "garbage", SECRET, f"00-{'0' * 32}-{'0' * 16}-01"])
def test_what_is_no_trace_begins_a_new_one(
    spans: tuple[OpenTelemetryTracer, InMemorySpanExporter], given: str | None
) -> None:
    tracer, exporter = spans
    with tracer.span("step", given) as context:
        assert trace_context(context) is not None
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_a_failed_step_shows_no_text(spans: tuple[OpenTelemetryTracer, InMemorySpanExporter]) -> None:
    tracer, exporter = spans
    with pytest.raises(ValueError, match=SECRET), tracer.span("step", None):
        raise ValueError(SECRET)
    (span,) = exporter.get_finished_spans()
    assert SECRET not in span.to_json()


@pytest.mark.parametrize(
    "text",
    [None, "", SECRET, PARENT + "-x", PARENT.upper(), f"{PARENT}\n", f"00-{SECRET}-b7ad6b7169203331-01", "00" + PARENT],
)
def test_only_the_form_of_a_trace_context_is_taken(text: str | None) -> None:
    assert trace_context(text) is None
    assert trace_context(PARENT) == PARENT


def test_a_missing_sdk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match="callgate"):
        tracer_for("policy", "http://127.0.0.1:4318")
