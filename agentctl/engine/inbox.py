"""What came in for a run and is not decided on yet: answers of attempts, mail, timers that are due."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import islice

from agentctl.core.events import AnyEvent, TimerFired
from agentctl.errors import StoreError
from agentctl.ports import Clock, Mail


class Inbox:
    """A queue in the order of arrival. `schedule`: have `ring` called at a time (epoch seconds)."""

    def __init__(self, clock: Clock, schedule: Callable[[float], None]) -> None:
        self._clock = clock
        self._schedule = schedule
        self._items: deque[AnyEvent | Mail] = deque()
        self._seen: set[int] = set()  # ids of mail that is in here or was
        self._timers: list[tuple[float, str, str]] = []  # when, path, timer: a heap
        self._failure: StoreError | None = None
        self._waker: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._items) + (self._failure is not None)

    def receive(self, item: AnyEvent | Mail | StoreError) -> None:
        """Put in an answer or mail; mail that was put in before is left out. A StoreError is raised by `events`."""
        if isinstance(item, StoreError):
            self._failure = item
            self.wake()
            return
        if isinstance(item, Mail):
            if item.id in self._seen:
                return
            self._seen.add(item.id)
        self._items.append(item)
        self.wake()

    def events(self, most: int) -> list[AnyEvent]:
        """The oldest items, without taking them. Raises StoreError when the answer of an attempt cannot be kept."""
        if self._failure is not None:
            raise self._failure
        return [item.event if isinstance(item, Mail) else item for item in islice(self._items, most)]

    def take(self, count: int) -> list[int]:
        """Remove the oldest items; returns the ids of the mail among them."""
        taken = [self._items.popleft() for _ in range(count)]
        return [item.id for item in taken if isinstance(item, Mail)]

    @property
    def mail(self) -> list[Mail]:
        return [item for item in self._items if isinstance(item, Mail)]

    # --- time ------------------------------------------------------------------------------------------------------

    def set_timer(self, path: str, timer: str, due: float) -> None:
        heappush(self._timers, (due, path, timer))
        if self._timers[0][0] <= self._clock.now():
            self.ring()
        else:
            self._schedule(self._timers[0][0])

    def ring(self) -> None:
        """Some timer may be due."""
        now = self._clock.now()
        while self._timers and self._timers[0][0] <= now:
            _, path, timer = heappop(self._timers)
            self._items.append(TimerFired(at=now, path=path, timer=timer))
        if self._timers:
            self._schedule(self._timers[0][0])
        self.wake()

    # --- waiting ---------------------------------------------------------------------------------------------------

    async def wait(self) -> None:
        """Returns when something came in, or at `wake`."""
        self._waker = asyncio.get_running_loop().create_future()
        try:
            await self._waker
        finally:
            self._waker = None

    def wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    @property
    def is_waited_for(self) -> bool:
        return self._waker is not None
