"""OpenTelemetry spans, when `telemetry.otlp_endpoint` is set. Needs the extra `callgate[otel]`."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from callgate.errors import ConfigurationError
from callgate.telemetry import PassingTracer, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


def tracer_for(service: str, endpoint: str | None) -> Tracer:
    """A tracer that exports over OTLP/HTTP, or one that only passes the context on."""
    if endpoint is None:
        return PassingTracer()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "otel_missing", "telemetry.otlp_endpoint is set: install OpenTelemetry with `pip install 'callgate[otel]'`"
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": f"callgate-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    return OpenTelemetryTracer(provider)


class OpenTelemetryTracer:
    """Spans named after steps; attributes are ids only."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._provider = provider
        self._tracer = provider.get_tracer("callgate")
        self._propagator = TraceContextTextMapPropagator()

    @contextlib.contextmanager
    def span(self, name: str, traceparent: str | None) -> Iterator[str | None]:
        context = self._propagator.extract({"traceparent": traceparent} if traceparent else {})
        # An exception's text may quote a raw value: it stays out of the span.
        with self._tracer.start_as_current_span(name, context, record_exception=False, set_status_on_exception=False):
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            yield carrier.get("traceparent", traceparent)
