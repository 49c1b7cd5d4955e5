"""`retention` of agentctl.yaml: what ended long ago is pruned, once a day."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import Clock, Upkeep

log = logging.getLogger(__name__)

AFTER_START = 600.0  # seconds: recovery and what was missed come first
BETWEEN = 86_400.0  # seconds
PAUSE = 0.01  # seconds between two pieces; the steps of runs are written in between


class Pruner:
    """A Component of the service. Without `retention` it does nothing."""

    name = "pruner"

    def __init__(self, project: Project, store: Upkeep, clock: Clock) -> None:
        self._project = project
        self._store = store
        self._clock = clock

    async def begin(self) -> None:
        """Nothing is so urgent that the service had to wait for it."""

    async def run(self) -> None:
        """Prune day by day. Raises StoreError."""
        await self._sleep(AFTER_START)
        while True:
            if self._project.retention is not None:
                await self._prune(self._project.retention)
            await self._sleep(BETWEEN)

    async def reload(self) -> None:
        """From the next time on, `retention` is what agentctl.yaml says now. Raises DefinitionInvalid: it stays as it was."""
        from agentctl.language.project.project import find

        self._project = find(self._project.root, db=self._project.store_path)

    def look(self) -> None:
        """Nothing that changes in the store concerns it."""

    async def _prune(self, keep: float) -> None:
        removed = await self._store.prune(self._clock.now(), keep, lambda: self._sleep(PAUSE))
        counts = {name: count for name, count in msgspec.structs.asdict(removed).items() if count}
        if counts:
            log.info("pruned %s", ", ".join(f"{name}: {count}" for name, count in counts.items()))

    async def _sleep(self, seconds: float) -> None:
        await self._clock.sleep_until(self._clock.now() + seconds)
