"""Bounds of one evaluation, so that no expression can hang a run or eat its memory.

Work is counted in units: an item looked at, built or compared is one, 64 characters of text are one. One evaluation may
spend `MAX_WORK`; about a second on a slow machine. What costs nothing that grows (names, keys, `index + 1`) is not
counted: the length of the source bounds it already. Whatever the count misses ends after `MAX_SECONDS`.
"""

from __future__ import annotations

import threading
from time import thread_time

from agentctl.errors import ExpressionError

MAX_SOURCE = 10_000  # characters of one expression
MAX_BRACKETS = 40  # open at once; Jinja's parser takes about 14 Python frames for each
MAX_DEPTH = 100  # of the tree of one expression
MAX_WORK = 1_000_000  # units, see above
MAX_SECONDS = 5.0  # of this thread's processor time, for one evaluation
MAX_TEXT = 10 * 1024 * 1024  # characters of a text that an expression builds
MAX_ITEMS = 100_000  # of a list that an expression builds
MAX_BITS = 4096  # of an integer
MAX_NESTING = 200  # of a value that an expression builds or writes as JSON


_UNITS_A_LOOK = 20_000  # work between two looks at the clock


class _Work(threading.local):
    """The budget of one evaluation. `look`: the rest at which to look at the clock.  `until`: when it has to be done."""

    left = MAX_WORK
    look = MAX_WORK - _UNITS_A_LOOK
    until: float | None = None

    def reset(self) -> None:
        """Forget the time of an evaluation that is done."""
        self.look, self.until = MAX_WORK - _UNITS_A_LOOK, None


work = _Work()


def spend(units: int) -> None:
    """Take `units` from the budget of the evaluation under way. Raises ExpressionError when it is used up."""
    work.left -= units
    if work.left < work.look:
        if work.left < 0:
            raise ExpressionError(f"the expression takes too much work (more than {MAX_WORK:,} units)")
        work.look = work.left - _UNITS_A_LOOK
        check_time()


def check_time() -> None:
    """Raise ExpressionError when the evaluation has taken more than MAX_SECONDS since the first look at the clock."""
    now = thread_time()
    if work.until is None:
        work.until = now + MAX_SECONDS
    elif now > work.until:
        raise ExpressionError(f"the expression takes too long (more than {MAX_SECONDS:g} seconds of processor time)")


def spend_text(length: int) -> None:
    """Account for a text of `length` characters that is about to be built or read through."""
    check_text(length)
    spend(1 + length // 64)


def check_text(length: int) -> None:
    """Raise ExpressionError for a text that is too long."""
    if length > MAX_TEXT:
        raise ExpressionError(f"the expression builds a text of more than {MAX_TEXT:,} characters")


def spend_items(count: int) -> None:
    """Account for a list of `count` items that is about to be built."""
    if count > MAX_ITEMS:
        raise ExpressionError(f"the expression builds a list of more than {MAX_ITEMS:,} items")
    spend(1 + count)
