"""A clock whose time passes only while nothing else is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class VirtualClock:
    """Implements `ports.Clock`. Time stands still while work is under way and jumps to the next sleeper's due otherwise.

    `idle`: set it to a function that returns whether anything but time can move the system (`lambda: engine.is_idle`).
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.idle: Callable[[], bool] = lambda: True
        self._now = start
        self._sleepers: list[float] = []

    def now(self) -> float:
        return self._now

    def set(self, now: float) -> None:
        """Put it forward or back, as a person does, or the network, or a host that wakes from a sleep."""
        self._now = now

    async def sleep_until(self, due: float) -> None:
        """Return when the time is `due`; earlier sleepers are woken first."""
        self._sleepers.append(due)
        try:
            while self._now < due:
                await asyncio.sleep(0.001)
                if due == min(self._sleepers) and self.idle():
                    self._now = max(self._now, due)
        finally:
            self._sleepers.remove(due)
