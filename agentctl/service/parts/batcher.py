"""Makes runs of what `debounce` and `batch` gather: when it has been quiet, when there is enough, when it has waited long enough.

The piles lie in the store. The next `serve` continues from there, and what became due while nobody served is due now.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from agentctl import JSON
from agentctl.engine.engine import Engine
from agentctl.errors import DefinitionInvalid
from agentctl.ports import Admission, Clock, Deployments, Events, Gathered, Journals, NewRun
from agentctl.service.disk.watching import Wakeup
from agentctl.service.problems import Problems
from agentctl.triggers.events import run_of_gathered

log = logging.getLogger(__name__)

POLL_INTERVAL = 30.0  # seconds between two looks at the store, though nothing is due and nobody calls
PAUSE = 1.0  # seconds until what is due and could not become a run is tried again


class Batches(Events, Deployments, Journals, Protocol):
    """What is needed of the store here."""


class Batcher:
    """A Component of the service. `vars`: the project's."""

    name = "batcher"

    def __init__(self, store: Batches, engine: Engine, clock: Clock, vars: Mapping[str, JSON], problems: Problems) -> None:
        self._problems = problems
        self._store = store
        self._engine = engine
        self._clock = clock
        self._vars = vars
        self._wakeup = Wakeup(clock)
        engine.on_starts.append(self.look)

    async def begin(self) -> None:
        """What is due becomes a run as soon as the service is ready."""

    async def run(self) -> None:
        while True:
            released = await release_due(self._store, self._clock.now(), self._vars, self._problems)
            if released:
                self._engine.triggered()
            await self._wakeup.wait(self._next_look(idle=not released))

    def look(self) -> None:
        self._wakeup.set()

    def _next_look(self, *, idle: bool) -> float:
        """Without a call before. `idle`: what is due, if anything, cannot become a run for now."""
        now, due = self._clock.now(), self._store.gathered_due()
        earliest = now + PAUSE if idle else now
        return now + POLL_INTERVAL if due is None else min(max(due, earliest), now + POLL_INTERVAL)


async def release_due(store: Batches, now: float, vars: Mapping[str, JSON], problems: Problems) -> list[Admission]:
    """Make a run of each pile that is due by `now`, by the definition that is deployed; what became of each. Raises StoreError.

    What is left of a pile, because more came than fit into a batch, may be due at once. A pile that cannot become a run stays.
    """
    released: list[Admission] = []
    deployed: dict[str, str] = {}
    for pile in store.gathered(now):
        deployed = deployed or {found.name: found.version for found in store.deployments()}
        with problems.isolated("batcher", f"the events gathered for {pile.name}"):
            run = _run_of(store, pile, deployed[pile.name], now, vars)
            admission = None if run is None else await store.release_gathered(pile, run)
            released += [] if admission is None else [admission]
    return released


def _run_of(store: Journals, pile: Gathered, version: str, now: float, vars: Mapping[str, JSON]) -> NewRun | None:
    """None: the definition cannot be used by this agentctl; the events lie where they are until it can."""
    try:
        stored = store.definition(version)
    except DefinitionInvalid as error:
        log.warning("the events gathered for %s wait until it can be used: %s", pile.name, error)
        return None
    return None if stored is None else run_of_gathered(stored, pile.trigger, pile.events, vars, now, depth=pile.depth)
