"""Look up what `core.stall` needs to decide whether runs make progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agentctl.core.interpreter import fold
from agentctl.core.stall import PATIENCE, Vitals, deadlocked
from agentctl.engine.definitions import UNREADABLE, stored_plan
from agentctl.ports import FINISHED, DueRuns, Journals, Mailboxes, RunRow

_ALL = 100_000  # more runs than a person would look through


class Signs(DueRuns, Journals, Mailboxes, Protocol):
    """What is needed of the store here."""


def vitals(store: Signs, rows: Sequence[RunRow], now: float) -> dict[str, Vitals]:
    """Return the vitals of the unfinished runs, by id.

    Only the journals of running runs without recent events are read.
    """
    rows = [row for row in rows if row.status not in FINISHED]
    if not rows:
        return {}
    ids = [row.id for row in rows]
    free = set(store.due(now, limit=_ALL)) if any(row.status == "queued" for row in rows) else set()
    words = store.last_event_times(ids)
    locked = deadlocked(store.wait_for_graph(now)) if any(map(_may_be_locked, rows)) else set()
    mailed_at = {item.run_id: item.event.at for item in reversed(store.mail(ids))}  # of several the oldest
    found = {}
    for row in rows:
        spoke_at = words.get(row.id, row.created_at)
        calls = [at for at in (_called_at(row, free, locked, spoke_at, now), mailed_at.get(row.id)) if at is not None]
        is_silent = row.status == "running" and now - spoke_at > PATIENCE
        timeouts = _timeouts(store, row.id) if is_silent else ()
        found[row.id] = Vitals(called_at=min(calls, default=None), spoke_at=spoke_at, timeouts=timeouts)
    return found


def _called_at(row: RunRow, free: set[str], locked: set[str], spoke_at: float, now: float) -> float | None:
    """Return since when the run could start or continue; for a deadlocked run, since when it waits."""
    if row.id in locked:
        return spoke_at
    if row.status == "queued":
        return row.created_at if row.id in free else None  # else it waits in the queue, or a process has just taken it
    if row.status == "interrupted":
        return spoke_at
    return row.wake_at if row.wake_at is not None and row.wake_at <= now and row.status != "running" else None


def _may_be_locked(row: RunRow) -> bool:
    return row.status == "queued" or (row.status == "waiting" and row.wake_at is None)


def _timeouts(store: Journals, run_id: str) -> list[float | None]:
    """Return the timeouts of the attempts under way; none for a run whose journal cannot be read."""
    try:
        state = fold(store.journal(run_id), lambda version: stored_plan(store, version))
    except UNREADABLE:
        return []
    return [step.node.step.timeout for step in state.executing.values()]
