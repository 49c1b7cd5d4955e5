"""Read from a store what the views are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from agentctl.ports import FINISHED, UNFINISHED, HistoryFilter, RunRow, Store

if TYPE_CHECKING:
    from agentctl.core.events import AnyEvent
    from agentctl.core.state import RunState
    from agentctl.views.inbox import Unresolved
    from agentctl.views.run import RunView

_ALL = 100_000  # more runs than a person would look through
_MOST_CHILDREN = 1000


def folded(store: Store, events: Iterable[AnyEvent]) -> RunState:
    """Fold a journal with the definitions that the run was pinned to. Raises StoreCorrupt when one is missing."""
    from agentctl.core.interpreter import fold
    from agentctl.engine.definitions import stored_plan

    return fold(events, lambda version: stored_plan(store, version))


def run_view(store: Store, row: RunRow, now: float, state: RunState | None = None) -> RunView:
    """Read a run with its steps and events. `state`: its journal folded, if the caller has it."""
    from agentctl.views import run as views

    events = list(store.journal(row.id))
    return views.run_view(
        row,
        events,
        state or folded(store, events),
        awaited=store.awaited_results(row.id),
        feedback=store.feedback([row.id]).get(row.id, []),
        position=store.queue_position(row.id),
        stalled_since=stalls(store, [row], now).get(row.id),
    )


def stalls(store: Store, rows: Sequence[RunRow], now: float) -> dict[str, float]:
    """Return those of the runs that make no progress, by id, with since when."""
    from agentctl.engine.stalls import vitals
    from agentctl.views import health

    return health.stalls(vitals(store, rows, now), now)


def stalled_runs(store: Store, now: float, query: HistoryFilter | None = None) -> list[tuple[RunRow, float]]:
    """Return the runs that make no progress, newest first, each with since when. `query`: only runs that match it."""
    from msgspec import structs

    wanted = query or HistoryFilter(limit=_ALL)
    status = tuple(word for word in wanted.status or UNFINISHED if word in UNFINISHED)
    rows = store.history(structs.replace(wanted, status=status, limit=_ALL)) if status else []
    since = stalls(store, rows, now)
    return [(row, since[row.id]) for row in rows if row.id in since][: wanted.limit]


def unresolved(store: Store, row: RunRow) -> Unresolved:
    """Read what a run, and the children that it still waits for, leave for a person to look at."""
    from agentctl.views import inbox

    runs = []
    for run in _with_children(store, row):
        if run.status != "succeeded":
            events = list(store.journal(run.id))
            runs.append((run, events, folded(store, events)))
    return inbox.unresolved(runs)


def _with_children(store: Store, row: RunRow) -> Iterator[RunRow]:
    yield row
    if row.status not in FINISHED:
        for child in store.history(HistoryFilter(parent=row.id, status=("waiting", "blocked"), limit=_MOST_CHILDREN)):
            yield from _with_children(store, child)


def driver(store: Store, run_id: str) -> RunRow:
    """Return the run that drives this one: the topmost unfinished ancestor, or the run itself."""
    row = store.run(run_id)
    assert row is not None
    while row.parent is not None:
        parent = store.run(row.parent.run_id)
        if parent is None or parent.status in FINISHED:
            break
        row = parent
    return row
