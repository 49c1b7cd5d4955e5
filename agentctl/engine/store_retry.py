"""Writes to a store that cannot be written at the moment, such as one on a full disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agentctl.engine.clock import sleep_unless
from agentctl.errors import LeaseLost, StoreCorrupt, StoreError, StoreMissing, StoreTooNew
from agentctl.ports import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

_HOPELESS = (LeaseLost, StoreCorrupt, StoreMissing, StoreTooNew)  # trying again changes nothing
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0  # seconds between two tries
_REMIND = 60.0  # seconds until the log says it again


def is_passing(error: BaseException) -> bool:
    """Whether the store may be well again later: a full disk, a lock that another process holds for long."""
    return isinstance(error, StoreError) and not isinstance(error, _HOPELESS)


class StoreRetry:
    """Tries a write until the store takes it.

    Until it is written, only this process knows what an attempt did: giving up would make it happen again, or leave an effect in
    doubt. Without `endure`, and after `give_up`, the first failure is raised instead.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._endures = False
        self._given_up = asyncio.Event()
        self._reported_at: float | None = None  # when the failure was logged last; None: the store can be written

    def endure(self) -> None:
        self._endures = True

    def give_up(self) -> None:
        self._endures = False
        self._given_up.set()

    @property
    def is_tried(self) -> bool:
        """The store could not be written when it was tried last."""
        return self._reported_at is not None

    async def call(self, write: Callable[[], Awaitable[T]]) -> T:
        """The result of `write()`, called again until it succeeds. Raises StoreError when it never will."""
        pause = _FIRST_PAUSE
        while True:
            try:
                result = await write()
            except StoreError as error:
                if not self._endures or not is_passing(error):
                    raise
                self._report(error)
                # `give_up` cuts it short; then the write is tried a last time.
                await sleep_unless(self._given_up, self._clock, self._clock.now() + pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if self._reported_at is not None:
                    self._reported_at = None
                    log.warning("the store can be written again")
                return result

    def _report(self, error: StoreError) -> None:
        now = self._clock.now()
        if self._reported_at is None or now - self._reported_at > _REMIND:
            self._reported_at = now
            log.error("%s; trying again until it can be written", error)
