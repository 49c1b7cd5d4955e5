"""What the HTTP interface uses of the service that it is part of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from agentctl.ports import Clock, NewEvent, SecretSource, Sent, Starts, Store, Triggers
from agentctl.service.deployed import Deployed
from agentctl.service.http.figures import Figures
from agentctl.service.http.pulse import Pulse
from agentctl.service.http.token import Token

JSON = Any


class Driver(Protocol):
    """Who drives the runs: the serving engine."""

    async def record(self, event: NewEvent, starts: Starts) -> Sent:
        """Keep an event with what it starts, and see to it that all of that goes on. Raises StoreError."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """`vars`: the project's.  `unready`: why the service is not ready, in sentences; empty: it is.  `figures`: an observer of the
    engine, too.  `slots`: how many slots of schedules this process settled, by outcome."""

    store: Store
    engine: Driver
    clock: Clock
    secrets: SecretSource
    triggers: Triggers
    deployed: Deployed
    vars: Mapping[str, JSON]
    unready: Callable[[], Sequence[str]]
    slots: Callable[[], Mapping[str, int]]
    figures: Figures


class Desk:
    """Where requests are handed in."""

    def __init__(self, context: Context, token: Token) -> None:
        self.context = context
        self.token = token
        self.pulse = Pulse(context.store)

    async def record(self, event: NewEvent, starts: Starts, via: str) -> dict[str, JSON]:
        """Keep an event with what it starts; what to answer, once it is durable. `via`: for the figures. Raises StoreError."""
        began = time.perf_counter()
        sent = await self.context.engine.record(event, starts)
        self.context.figures.received(via, time.perf_counter() - began, duplicate=sent.duplicate)
        return _document(event.id, sent)


def _document(event_id: str, sent: Sent) -> dict[str, JSON]:
    """As `agentctl send --json` prints it."""
    started = [admission.run_id for admission in sent.started if admission.outcome == "created"]
    return {"event_id": event_id, "duplicate": sent.duplicate, "started": started, "delivered": sent.delivered}
