"""Wait for a condition of the real world: a process, a file, a row. Tests that can use a virtual clock do so instead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0  # seconds; generous, because it only passes when a test fails


def eventually(condition: Callable[[], T], what: str = "the condition", *, seconds: float = PATIENCE) -> T:
    """Return the first true answer of `condition`. Fails the test when there is none within `seconds`."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: it did not happen within {seconds:g} s"
        time.sleep(0.02)
    return found


async def eventually_async(condition: Callable[[], T], what: str = "the condition", *, seconds: float = PATIENCE) -> T:
    """Do the same within an event loop, which keeps running meanwhile."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not (found := condition()):
        assert loop.time() < end, f"{what}: it did not happen within {seconds:g} s"
        await asyncio.sleep(0.002)
    return found
