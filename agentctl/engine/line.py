"""The runs of this process that stand in line for a place: they cost a name here, and are asked for whenever one may be free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from agentctl.engine.insist import Patience
from agentctl.errors import AgentctlError
from agentctl.ports import Clock, Lease, Store


class Line:
    """`start`: called with the lease of a run whose turn has come.  `fail`: the store could not be asked."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        patience: Patience,
        start: Callable[[Lease], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._patience = patience
        self._start = start
        self._fail = fail
        self._waiting: dict[str, None] = {}  # in the order in which they came
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_quiet(self) -> bool:
        return self._task is None

    def add(self, run_id: str) -> None:
        self._waiting[run_id] = None

    def discard(self, run_id: str) -> None:
        self._waiting.pop(run_id, None)

    def look(self) -> None:
        """A place may be free: ask for those in line, all at once. Returns at once."""
        if not self._waiting:
            return
        self._again = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._ask())

    async def leave(self) -> None:
        """Stand in line no more. The store lets go of the runs when this process ends."""
        self._waiting.clear()
        if self._task is not None:
            await self._task

    async def _ask(self) -> None:
        try:
            while self._again and self._waiting:
                self._again = False
                for lease in await self._patience.insist(self._acquire):
                    self._waiting.pop(lease.run_id, None)
                    self._start(lease)
        except AgentctlError as error:
            self._fail(error)
        finally:
            self._task = None

    async def _acquire(self) -> Sequence[Lease]:
        return await self._store.acquire(list(self._waiting), self._clock.now())
