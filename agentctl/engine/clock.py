"""The wall's clock, as the engine sees it."""

from __future__ import annotations

import asyncio
import time

from agentctl.ports import Clock

LOOK_AGAIN = 5.0  # seconds; the wall clock can be set, and it keeps running while a laptop sleeps


class SystemClock:
    def now(self) -> float:
        return time.time()

    async def sleep_until(self, due: float) -> None:
        """Return once the wall shows `due` (epoch seconds), whatever happened to the clock in between."""
        while (left := due - time.time()) > 0:
            await asyncio.sleep(min(left, LOOK_AGAIN))


async def sleep_unless(called: asyncio.Event, clock: Clock, until: float) -> None:
    """Return as soon as `called` is set, and at the time `until` at the latest."""
    if called.is_set():
        return
    waits = [asyncio.ensure_future(called.wait()), asyncio.ensure_future(clock.sleep_until(until))]
    try:
        # The clock may be put back while we wait: nobody waits longer for that.
        left = max(0.0, until - clock.now())
        await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
