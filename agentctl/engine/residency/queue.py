"""The runs of this process that wait in the queue: each costs a name here, and is asked for whenever a place may be free."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from agentctl.engine.store_retry import StoreRetry
from agentctl.errors import AgentctlError
from agentctl.ports import Clock, DueRuns, Journals, Lease

_FEW = 20  # runs; each of so few is looked at by itself


class Leases(DueRuns, Journals, Protocol):
    """What is needed of the store here."""


class AdmissionQueue:
    """`start`: called with the lease of a run whose turn has come, or that is to be cancelled.
    `keep_waiting`: called with a run that was asked for and has to wait.
    `wake_at`: has `look` called for a run at a time.
    `fail`: called when the store cannot be asked.
    """

    def __init__(
        self,
        store: Leases,
        clock: Clock,
        patience: StoreRetry,
        start: Callable[[Lease], None],
        keep_waiting: Callable[[str], None],
        wake_at: Callable[[str, float], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._patience = patience
        self._start = start
        self._keep_waiting = keep_waiting
        self._wake_at = wake_at
        self._fail = fail
        self._waiting: dict[str, float | None] = {}  # in the order of arrival; until when, where that is known
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_quiet(self) -> bool:
        return self._task is None

    def add(self, run_id: str, until: float | None) -> None:
        self._waiting[run_id] = until
        if until is not None:
            self._wake_at(run_id, until)

    def discard(self, run_id: str) -> None:
        self._waiting.pop(run_id, None)

    def look(self) -> None:
        """Ask for all queued runs, because a place may be free. Returns at once."""
        if not self._waiting:
            return
        self._again = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._ask())

    def look_if_free(self) -> None:
        """Look, if a queued run might start. For frequent looks: asking for places takes the writers' lock."""
        now = self._clock.now()
        if len(self._waiting) > _FEW or any(self._is_free(run_id, now) for run_id in self._waiting):
            self.look()

    def _is_free(self, run_id: str, now: float) -> bool:
        position = self._store.queue_position(run_id, now)
        return position is None or not position.reason

    async def leave(self) -> None:
        """Leave the queue. The store releases the runs when this process ends."""
        self._waiting.clear()
        if self._task is not None:
            await self._task

    async def _ask(self) -> None:
        try:
            while self._again and self._waiting:
                self._again = False
                for lease in await self._patience.call(self._acquire):
                    self._waiting.pop(lease.run_id, None)
                    self._start(lease)
                self._wait_again()
        except AgentctlError as error:
            self._fail(error)
        finally:
            self._task = None

    def _wait_again(self) -> None:
        now = self._clock.now()
        for run_id, until in list(self._waiting.items()):
            if until is not None and until <= now:  # its window has opened, and others were first
                position = self._store.queue_position(run_id, now)
                self.add(run_id, None if position is None else position.until)
            self._keep_waiting(run_id)

    async def _acquire(self) -> Sequence[Lease]:
        return await self._store.acquire(list(self._waiting), self._clock.now())
