"""The wall's clock, as the engine sees it."""

from __future__ import annotations

import asyncio
import time

LOOK_AGAIN = 5.0  # seconds; the wall clock may be set, and it goes on while a laptop sleeps


class SystemClock:
    def now(self) -> float:
        return time.time()

    async def sleep_until(self, due: float) -> None:
        """Return once the wall shows `due` (epoch seconds), whatever happened to the clock in between."""
        while (left := due - time.time()) > 0:
            await asyncio.sleep(min(left, LOOK_AGAIN))
