"""What the HTTP interface uses of the service that it is part of, and how an event is handed in to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from agentctl import JSON
from agentctl.ports import Clock, NewEvent, SecretSource, SendResult, Store, Triggered, Triggers
from agentctl.service.deployed import Deployed
from agentctl.service.http.counters import Counters
from agentctl.service.http.store_probe import StoreProbe
from agentctl.service.http.token import Token


class Driver(Protocol):
    """Who drives the runs: the serving engine."""

    async def record(self, event: NewEvent, starts: Triggered) -> SendResult:
        """Keep an event with what it starts, and see to it that all of that goes on. Raises StoreError."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests are handed in. `vars`: the project's.  `unready`: why the service is not ready, in sentences; empty: it is.
    `figures`: an observer of the engine, too.  `slots`: how many slots of schedules this process settled, by outcome."""

    store: Store
    engine: Driver
    clock: Clock
    secrets: SecretSource
    triggers: Triggers
    deployed: Deployed
    vars: Mapping[str, JSON]
    unready: Callable[[], Sequence[str]]
    slots: Callable[[], Mapping[str, int]]
    figures: Counters
    pulse: StoreProbe
    token: Token

    async def record(self, event: NewEvent, starts: Triggered, via: str) -> dict[str, JSON]:
        """Keep an event with what it starts; what to answer, once it is durable. `via`: for the figures. Raises StoreError."""
        began = time.perf_counter()
        sent = await self.engine.record(event, starts)
        self.figures.received(via, time.perf_counter() - began, duplicate=sent.duplicate)
        return sent.document(event.id)
