"""Bounds of one evaluation, so that no expression can hang a run or eat its memory.

Work is counted in units: an item looked at, built or compared is one, 64 characters of text are one. One evaluation may
spend `MAX_WORK`; about a second on a slow machine. What costs nothing that grows (names, keys, `index + 1`) is not
counted: the length of the source bounds it already.
"""

from __future__ import annotations

import threading

from agentctl.errors import ExpressionError

MAX_SOURCE = 10_000  # characters of one expression
MAX_BRACKETS = 40  # open at once; Jinja's parser takes about 14 Python frames for each
MAX_DEPTH = 100  # of the tree of one expression
MAX_WORK = 1_000_000  # units, see above
MAX_TEXT = 10 * 1024 * 1024  # characters of a text that an expression builds
MAX_ITEMS = 100_000  # of a list that an expression builds
MAX_BITS = 4096  # of an integer
MAX_NESTING = 200  # of a value that an expression builds or writes as JSON


class _Work(threading.local):
    left = MAX_WORK


work = _Work()


def spend(units: int) -> None:
    """Take `units` from the budget of the evaluation under way. Raises ExpressionError when it is used up."""
    work.left -= units
    if work.left < 0:
        raise ExpressionError(f"the expression takes too much work (more than {MAX_WORK:,} units)")


def spend_text(length: int) -> None:
    """Account for a text of `length` characters that is about to be built or read through."""
    if length > MAX_TEXT:
        raise ExpressionError(f"the expression builds a text of more than {MAX_TEXT:,} characters")
    spend(1 + length // 64)


def spend_items(count: int) -> None:
    """Account for a list of `count` items that is about to be built."""
    if count > MAX_ITEMS:
        raise ExpressionError(f"the expression builds a list of more than {MAX_ITEMS:,} items")
    spend(1 + count)
