"""Looks for what other processes wrote to the store: when they wake us, and from time to time, for one may die silently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentctl.ports import Upkeep

POLL_INTERVAL = 2.0  # seconds between looks when nobody wakes us
LOOK_OFTEN = 0.1  # the same where other processes cannot wake us


class Poller:
    """From `start` on calls `look` every so often, as long as it `is_wanted`."""

    def __init__(self, store: Upkeep, is_wanted: Callable[[], bool], look: Callable[[], None]) -> None:
        self._store = store
        self._is_wanted = is_wanted
        self._look = look
        self._next: asyncio.TimerHandle | None = None
        self._pause = 0.0  # seconds between looks; 0: nobody has asked to be woken yet
        self._closed = False

    def start(self) -> None:
        if self._next is None and not self._closed:
            self._pause = self._pause or (POLL_INTERVAL if self._store.listen(self._wake) else LOOK_OFTEN)
            self._next = asyncio.get_running_loop().call_later(self._pause, self._wake)

    def _wake(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._closed or not self._is_wanted():
            return
        self._next = asyncio.get_running_loop().call_later(self._pause, self._wake)
        self._look()

    def close(self) -> None:
        self._closed = True
        if self._next is not None:
            self._next.cancel()
