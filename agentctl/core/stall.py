"""Whether a run makes no progress, and since when. Pure.

A run stalls when there has been something for it to do for a minute and nobody does it: it could start, it was interrupted, a
timer is due, or it has mail. It also stalls when attempts are under way and its journal has been silent for longer than any of
them may take; an attempt without a timeout may take an hour. Runs that wait for each other stall as well. A run that waits for
what has not come yet, or waits in the queue behind others, does not stall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

PATIENCE = 60.0  # seconds
WITHOUT_TIMEOUT = 3600.0  # seconds that an attempt without a timeout may take


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run that has not finished. Times in epoch seconds.

    `called_at`: since when there is something for it to do; None: nothing.  `spoke_at`: the time of its journal's last event.
    `timeouts`: of the attempts under way, in seconds, None for one that has none.
    """

    called_at: float | None
    spoke_at: float
    timeouts: Sequence[float | None] = ()


def stalled_since(vitals: Vitals, now: float) -> float | None:
    """Return the time since when a run stalls; None: it does not."""
    if vitals.called_at is not None and now - vitals.called_at > PATIENCE:
        return vitals.called_at
    if not vitals.timeouts:
        return None
    silence = max(WITHOUT_TIMEOUT if timeout is None else timeout for timeout in vitals.timeouts)
    return vitals.spoke_at if now - vitals.spoke_at > silence + PATIENCE else None


def deadlocked(graph: Mapping[str, Sequence[frozenset[str]]]) -> set[str]:
    """Return the runs that wait for each other, and those that wait for such runs.

    `graph`: run -> for each of its waits the runs that hold it up. A run that is not in it may end some day. Each round removes
    the runs all of whose waits may end; those that are left wait for ever.
    """
    stuck = set(graph)
    while free := {run for run in stuck if not any(stuck.issuperset(holders) for holders in graph[run])}:
        stuck -= free
    return stuck
