"""An event as it is kept: the row of it, and back."""

from __future__ import annotations

from agentctl.ports import NewEvent
from agentctl.store.runs.payloads import Payloads

EventRow = tuple[str, str, str | None, float, str | None]  # id, name, data, received_at, headers


def event_of(row: EventRow, payloads: Payloads) -> NewEvent:
    """Its time is that at which it was received."""
    id_, name, data, received_at, headers = row
    return NewEvent(name, payloads.read_json(data), id_, received_at, payloads.read_json(headers))
