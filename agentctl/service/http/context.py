"""What the HTTP interface uses of the service that it is part of, and how an event is handed in to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from agentctl import JSON
from agentctl.ports import Client, Clock, NewEvent, SecretSource, Store, Triggered, Triggers
from agentctl.service.component import Deployed
from agentctl.service.http.counters import Counters
from agentctl.service.http.store_probe import StoreProbe
from agentctl.service.http.token import Token
from agentctl.service.problems import Problems


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests are handed in.

    `vars`: the project's.
    `unready`: why the service is not ready, in sentences; empty: it is.
    `slots`: how many slots of schedules this process settled, by outcome.
    `problems`: what fails in the service without stopping it.
    `counters`: an observer of the engine, too.
    """

    store: Store
    engine: Client
    clock: Clock
    secrets: SecretSource
    triggers: Triggers
    deployed: Deployed
    vars: Mapping[str, JSON]
    unready: Callable[[], Sequence[str]]
    slots: Callable[[], Mapping[str, int]]
    problems: Problems
    counters: Counters
    store_probe: StoreProbe
    token: Token

    async def record(self, event: NewEvent, starts: Triggered, via: str) -> dict[str, JSON]:
        """Keep an event with what it starts; what to answer, once it is durable. `via`: for the counters. Raises StoreError."""
        began = time.perf_counter()
        sent = await self.engine.record(event, starts)
        self.counters.received(via, time.perf_counter() - began, duplicate=sent.duplicate)
        return sent.document(event.id)
