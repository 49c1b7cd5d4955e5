"""Whether a run makes no progress, and since when. Pure.

A run stalls when something has been there for it to do for a minute and nobody does it: it could start, go on after an
interruption, its time has come, or mail lies there for it. And it stalls when attempts are under way, but its journal has been
silent for longer than any of them may take; one without a timeout may take an hour until that is said. And runs stall that wait
for each other, so that none of them ever goes on by itself. A run that waits for what has not come yet, or stands in line behind
others, does not stall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

PATIENCE = 60.0  # seconds
WITHOUT_TIMEOUT = 3600.0  # seconds in which an attempt without a timeout is not called stalled


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run that has not finished. Times in epoch seconds.

    `called_at`: since when there is something for it to do; None: nothing.  `spoke_at`: the time of its journal's last event.
    `timeouts`: of the attempts under way, in seconds, None for one that has none.
    """

    called_at: float | None
    spoke_at: float
    timeouts: Sequence[float | None] = ()


def stalled_since(vitals: Vitals, now: float) -> float | None:
    """None: it does not stall."""
    if vitals.called_at is not None and now - vitals.called_at > PATIENCE:
        return vitals.called_at
    if not vitals.timeouts:
        return None
    silence = max(WITHOUT_TIMEOUT if timeout is None else timeout for timeout in vitals.timeouts)
    return vitals.spoke_at if now - vitals.spoke_at > silence + PATIENCE else None


def deadlocked(graph: Mapping[str, Sequence[frozenset[str]]]) -> set[str]:
    """The runs that wait for each other, and those that wait for such runs.

    `graph`: see `ports.Store.wait_for_graph`. Who is not in it may end some day; each round takes out those of whom every wait
    may, and what is left holds itself fast.
    """
    stuck = set(graph)
    while free := {run for run in stuck if not any(stuck.issuperset(holders) for holders in graph[run])}:
        stuck -= free
    return stuck
