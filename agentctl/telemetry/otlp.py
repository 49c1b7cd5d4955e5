"""Spans, handed to OpenTelemetry's SDK. The only module that imports it."""

from __future__ import annotations

import threading

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, set_span_in_context

from agentctl import __version__
from agentctl.telemetry.spans import Span

_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}
_PATIENCE = 3.0  # seconds for what waits to be sent when the process ends


class _Chosen(IdGenerator):
    """Ids are not drawn: they follow from the journal."""

    def __init__(self) -> None:
        self.trace = self.span = 1

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class OtlpSender:
    """Batches spans and sends them by a thread of its own; when the receiver is slow, spans are dropped and nothing waits."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._ids = _Chosen()
        named = Resource({"service.name": "agentctl", "service.version": __version__}).merge(OTELResourceDetector().detect())
        resource = Resource.create().merge(named)
        self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("agentctl", __version__)

    def send(self, trace: int, span: Span) -> None:
        self._ids.trace, self._ids.span = trace, span.id
        # The spans of a trace are not sent by one process, nor in an order: the sampler is asked for each as for the first.
        if self._provider.sampler.should_sample(None, trace, span.name).decision is not Decision.RECORD_AND_SAMPLE:
            return
        context = None
        if span.parent is not None:
            above = SpanContext(trace, span.parent, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            context = set_span_in_context(NonRecordingSpan(above))
        made = self._tracer.start_span(
            span.name, context, kind=_KINDS[span.kind], attributes=span.attributes, start_time=_nanoseconds(span.begin)
        )
        for moment in span.moments:
            made.add_event(moment.name, moment.attributes, _nanoseconds(moment.at))
        if span.error is not None:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(_nanoseconds(span.end))

    def close(self) -> None:
        """By a thread, since the SDK's own limit cannot be set: what a receiver that hangs has not taken by then is lost."""
        closing = threading.Thread(target=self._provider.shutdown, name="agentctl-otel-close", daemon=True)
        closing.start()
        closing.join(_PATIENCE)


def _nanoseconds(at: float) -> int:
    return round(at * 1_000_000) * 1000
