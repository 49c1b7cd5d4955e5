"""`debounce` and `batch`: events that become one run when it has been quiet, or when they are enough. Pure.

Events with the same definition, trigger and key lie on one pile. Of a debounce only the newest is kept; a batch keeps them all
and gives its oldest, at most `size`, to a run.
"""

from __future__ import annotations

import msgspec


class Pile(msgspec.Struct, frozen=True):
    """Times of events in epoch seconds: `oldest` and `newest` of those that lie here, `count` of them.

    `seconds`, `size`: as said by the newest event; size None: a debounce.
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


def add(pile: Pile | None, at: float, seconds: float, size: int | None) -> Pile:
    """The pile with one more event, or a new one. `at`: when the event was received.

    Events are put down in the order in which they came; a clock that jumped back makes none of them older than the first.
    """
    if pile is None or size is None:
        return Pile(at, at, 1, seconds, size)
    return Pile(min(pile.oldest, at), max(pile.newest, at), pile.count + 1, seconds, size)


def take(pile: Pile, taken: int, next_oldest: float | None) -> Pile | None:
    """What is left when a run has got the `taken` oldest. `next_oldest`: when the first of the others came, if any."""
    if next_oldest is None:
        return None
    return Pile(next_oldest, pile.newest, pile.count - taken, pile.seconds, pile.size)
