"""OpenTelemetry: what runs do, sent as traces. Needs the extra `agentctl[otel]`; switched on by its standard variables alone.

`$OTEL_EXPORTER_OTLP_ENDPOINT` (or `$OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) says where to. The other OTEL_* variables mean to the
SDK what they mean everywhere: headers, service name, sampling, limits.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentctl.ports import Store
    from agentctl.telemetry.tracing import Telemetry

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def telemetry(store: Store, environ: Mapping[str, str] = os.environ) -> Telemetry | None:
    """An Observer that sends traces, to be closed at the end; None: nobody asked for it, or it cannot be, which is said once."""
    endpoint = next((name for name in ENDPOINTS if environ.get(name)), None)
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    if endpoint is None or off:
        return None
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        log.warning("no traces are sent: agentctl speaks OTLP by http/protobuf, not %s", protocol)
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        from agentctl.telemetry.otlp import OtlpSender

        sender = OtlpSender(OTLPSpanExporter())
    except ImportError:
        log.warning("no traces are sent although $%s is set: pip install 'agentctl[otel]'", endpoint)
        return None
    except Exception as error:  # the SDK refuses one of its variables, be it as it is imported; no run fails for that
        log.warning("no traces are sent, for OpenTelemetry cannot be set up: %s", error)
        return None
    from agentctl.telemetry.tracing import Telemetry

    return Telemetry(store, sender)
