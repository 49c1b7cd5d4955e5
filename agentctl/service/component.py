"""What the service is made of, and what a trigger of an installed package is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from agentctl import JSON
from agentctl.model import Trigger
from agentctl.ports import Clock, NewEvent, SendResult, StoredDefinition, Triggered
from agentctl.triggers.events import starts_of

Record = Callable[[NewEvent, Triggered], Awaitable[SendResult]]


class Deployed(Protocol):
    """What other parts of the service ask of the deployer."""

    on_change: list[Callable[[], None]]
    """Called in the event loop, after one of the answers below has changed."""

    def definitions(self) -> Mapping[str, StoredDefinition]:
        """By name, what may be triggered now: the last good version of what is neither gone nor paused."""

    def paused(self) -> Mapping[str, StoredDefinition]:
        """By name, what would be triggered if it were not paused."""


class Component(Protocol):
    """One thing that `serve` does beside driving runs, such as firing schedules or listening for HTTP.

    All parts live in one event loop. A part that raises StoreError from `run` is begun again when the store may be well; one that
    raises anything else has a bug, and is begun again with growing pauses a few times.
    """

    name: str
    """For the log and for people: `scheduler`."""

    async def begin(self) -> None:
        """Whatever has to be so before the service says that it is ready. Raises AgentctlError: there is no service."""

    async def run(self) -> None:
        """Work until cancelled."""

    def look(self) -> None:
        """Something changed in the store, and it may concern this part: look again soon. Must return at once, and not raise."""


class TriggerContext:
    """What `TriggerSpec.component` is made from.

    root: the project's folder.
    clock: the service's.
    deployed: what may be triggered now, and `on_change`.
    """

    def __init__(self, root: Path, clock: Clock, deployed: Deployed, vars: Mapping[str, JSON], record: Record) -> None:
        self.root = root
        self.clock = clock
        self.deployed = deployed
        self._vars = vars
        self._record = record

    def triggers(self, kind: str) -> Iterator[tuple[StoredDefinition, int, Trigger]]:
        """Every trigger of a kind, with its definition and its number there, as deployed now."""
        for stored in self.deployed.definitions().values():
            for number, trigger in enumerate(stored.definition.triggers):
                if trigger.kind == kind:
                    yield stored, number, trigger

    async def fire(self, stored: StoredDefinition, number: int, *, name: str, data: JSON, id: str) -> SendResult:
        """Record an event and start what trigger `number` of the definition makes of it. Raises StoreError.

        An `id` that was seen before with this name and definition starts nothing.
        """
        event = NewEvent(name, data, f"{name}:{stored.definition.name}:{id}", self.clock.now())
        return await self._record(event, starts_of(stored, number, event, self._vars))
