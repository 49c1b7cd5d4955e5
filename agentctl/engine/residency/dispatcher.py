"""What a serving engine takes up by itself: every run of the store that can continue, a bounded number of them at a time.

The store is the queue. A run that waits there (queued, for a time, for mail, left behind by a process that died) costs a row and
nothing here. Whenever something may have changed, the store is asked which run is next, and when.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from agentctl.engine.clock import sleep_unless
from agentctl.engine.residency.poller import LOOK_OFTEN, POLL_INTERVAL
from agentctl.engine.run import HeldRun
from agentctl.engine.store_retry import is_passing
from agentctl.errors import StoreError
from agentctl.ports import Clock, DueRuns, Upkeep

log = logging.getLogger(__name__)

MOST_HELD = 256  # runs in memory; beyond `workers`, they wait for a worker or for one another
CALM = 0.01  # seconds between looks at least, however much happens
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 600.0  # seconds for which a run that could not be driven is set aside


class Work(DueRuns, Upkeep, Protocol):
    """What is needed of the store here."""


class Runs(Protocol):
    """The residency, as far as the dispatcher knows it."""

    @property
    def room(self) -> int:
        """How many more runs may be held."""

    def take(self, run_id: str) -> HeldRun:
        """Hold it, unless it is held already."""

    def collect(self) -> None:
        """Look for mail of those that are held."""


class Dispatcher:
    """`look` says that something may have changed; `run` does the looking."""

    def __init__(self, store: Work, clock: Clock, runs: Runs) -> None:
        self._store = store
        self._clock = clock
        self._runs = runs
        self._called = asyncio.Event()
        self.is_woken = True  # other processes call for a look after they have written
        self._aside: dict[str, tuple[float, float]] = {}  # run -> (until when, for how long): those that could not be driven

    def look(self) -> None:
        self._called.set()

    def set_aside(self, run_id: str) -> None:
        """Leave it alone for a while, longer each time: what went wrong with it may go wrong again at once."""
        _, before = self._aside.get(run_id, (0.0, 0.0))
        pause = min(max(_FIRST_PAUSE, 2 * before), _LONGEST_PAUSE)
        self._aside[run_id] = (self._clock.now() + pause, pause)

    def succeeded(self, run_id: str) -> None:
        self._aside.pop(run_id, None)

    async def run(self) -> None:
        """Take runs up until cancelled. Raises StoreError when the store is unusable for good."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            self._called.clear()
            await sleep_unless(self._called, self._clock, self._look_again())
            await asyncio.sleep(max(0.0, began + CALM - loop.time()))

    def _look_again(self) -> float:
        """Take up what can continue; return when to look next, unless somebody calls before."""
        now = self._clock.now()
        look = POLL_INTERVAL if self.is_woken else LOOK_OFTEN
        try:
            if self._store.changed():
                self._runs.collect()
                self._called.clear()
            self.take_up()
            due = self._store.next_due(now)
        except StoreError as error:
            if not is_passing(error):
                raise
            log.error("%s; looking again", error)
            due = None
        if due is None or self._runs.room <= 0:  # without room, whoever releases a run calls
            return now + look
        return min(max(due, now + CALM), now + look)

    def take_up(self) -> list[HeldRun]:
        """Hold as many of the runs that can continue as there is room for, oldest first; return them."""
        room = self._runs.room
        if room <= 0:
            return []
        taken = []
        now = self._clock.now()
        for run_id in self._store.due(now, limit=room + len(self._aside)):
            if self._runs.room <= 0:
                break
            if self._aside.get(run_id, (0.0, 0.0))[0] <= now:
                taken.append(self._runs.take(run_id))
        return taken
