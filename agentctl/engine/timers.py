"""When runs are due: one heap for the engine, one sleeping task for the earliest time in it.

An entry is a time and a run id, so ten thousand sleeping runs are ten thousand small tuples. The run itself knows which of its
timers is due, or finds it in its journal when it is loaded again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from agentctl.ports import Clock


class Timers:
    def __init__(self, clock: Clock, fire: Callable[[str], None]) -> None:
        self._clock = clock
        self._fire = fire
        self._heap: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}  # what counts: an entry of the heap that differs is stale
        self._task: asyncio.Task[None] | None = None
        self._sleeps_until = float("inf")

    def set(self, run_id: str, due: float) -> None:
        """Fire for the run at `due` (epoch seconds). A run has one entry: the time set last counts."""
        if self._due.get(run_id) == due:
            return
        self._due[run_id] = due
        heapq.heappush(self._heap, (due, run_id))
        if due < self._sleeps_until:
            self._sleep()

    def clear(self, run_id: str) -> None:
        self._due.pop(run_id, None)

    def close(self) -> None:
        self._due.clear()
        self._heap.clear()
        self._sleep()

    def _sleep(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._sleeps_until = float("inf")
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if self._heap:
            self._sleeps_until = self._heap[0][0]
            self._task = asyncio.get_running_loop().create_task(self._wake(self._sleeps_until))

    async def _wake(self, due: float) -> None:
        await self._clock.sleep_until(due)
        self._task = None
        now = max(self._clock.now(), due)
        while self._heap and self._heap[0][0] <= now:
            due, run_id = heapq.heappop(self._heap)
            if self._due.get(run_id) == due:
                del self._due[run_id]
                self._fire(run_id)
        self._sleep()
