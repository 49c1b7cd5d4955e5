"""`debounce` and `batch`: events that become one run when it has been quiet, or when there are enough. Pure.

Events with the same definition, trigger and key are gathered in one batch. A debounce keeps only its newest event; a `batch`
keeps them all and gives its oldest, at most `size`, to a run.
"""

from __future__ import annotations

import msgspec


class Batch(msgspec.Struct, frozen=True):
    """Events that are gathered for a run.

    `oldest`, `newest`: when the first and the last of them were received, in epoch seconds.
    `count`: how many there are.
    `seconds`, `size`: as the newest event's definition has them; size None: a debounce.
    """

    oldest: float
    newest: float
    count: int
    seconds: float
    size: int | None

    @property
    def due(self) -> float:
        """When it becomes a run: a debounce once it was quiet, a batch once it is old enough, or at once when it is full."""
        if self.size is None:
            return self.newest + self.seconds
        return self.oldest if self.count >= self.size else self.oldest + self.seconds

    @property
    def ripe(self) -> int:
        """How many events, the oldest first, its next run gets."""
        return self.count if self.size is None else min(self.count, self.size)


def add(batch: Batch | None, at: float, seconds: float, size: int | None) -> Batch:
    """Return the batch with one more event, or a new one. `at`: when the event was received.

    Events are kept in the order in which they came; a clock that jumped back makes none of them older than the first.
    """
    if batch is None or size is None:
        return Batch(at, at, 1, seconds, size)
    return Batch(min(batch.oldest, at), max(batch.newest, at), batch.count + 1, seconds, size)


def take(batch: Batch, taken: int, next_oldest: float | None) -> Batch | None:
    """Return what is left when a run has got the `taken` oldest. `next_oldest`: when the first of the others came, if any."""
    if next_oldest is None:
        return None
    return Batch(next_oldest, batch.newest, batch.count - taken, batch.seconds, batch.size)
