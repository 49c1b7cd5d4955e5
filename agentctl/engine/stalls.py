"""Which runs of a store make no progress: what `core.stall` wants to know of them, looked up."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from agentctl.core.interpreter import fold
from agentctl.core.stall import PATIENCE, Vitals, deadlocked, stalled_since
from agentctl.engine.definitions import stored_plan
from agentctl.ports import FINISHED, UNFINISHED, HistoryFilter, RunRow, Store

_ALL = 100_000  # more runs than a person would look through


def stalls(store: Store, rows: Sequence[RunRow], now: float) -> dict[str, float]:
    """Those of the runs that make no progress, by id: since when.

    Journals are read only of runs at work whose journals have been silent for a while.
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
        since = stalled_since(Vitals(called_at=min(calls, default=None), spoke_at=spoke_at, timeouts=timeouts), now)
        if since is not None:
            found[row.id] = since
    return found


def stalled_runs(store: Store, now: float, query: HistoryFilter | None = None) -> list[tuple[RunRow, float]]:
    """The runs that make no progress, newest first, each with since when; of those that `query` means, if there is one."""
    wanted = query or HistoryFilter(limit=_ALL)
    status = tuple(word for word in wanted.status or UNFINISHED if word in UNFINISHED)
    rows = store.history(structs.replace(wanted, status=status, limit=_ALL)) if status else []
    since = stalls(store, rows, now)
    return [(row, since[row.id]) for row in rows if row.id in since][: wanted.limit]


def _called_at(row: RunRow, free: set[str], locked: set[str], spoke_at: float, now: float) -> float | None:
    """Since when the run could start, or go on; of one that waits for itself, since it waits."""
    if row.id in locked:
        return spoke_at
    if row.status == "queued":
        return row.created_at if row.id in free else None  # else it stands in line, or somebody has just taken it
    if row.status == "interrupted":
        return spoke_at
    return row.wake_at if row.wake_at is not None and row.wake_at <= now and row.status != "running" else None


def _may_be_locked(row: RunRow) -> bool:
    return row.status == "queued" or (row.status == "waiting" and row.wake_at is None)


def _timeouts(store: Store, run_id: str) -> list[float | None]:
    """Of the attempts under way."""
    state = fold(store.journal(run_id), lambda version: stored_plan(store, version))
    return [step.node.step.timeout for step in state.executing.values()]
