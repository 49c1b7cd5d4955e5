"""Read from a store what the views are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import structs

from agentctl import JSON
from agentctl.core.events import Error
from agentctl.errors import NotFound, PayloadUnreadable
from agentctl.ports import FINISHED, UNFINISHED, HistoryFilter, Journals, RunRow, Runs, Store

if TYPE_CHECKING:
    from agentctl.core.events import AnyEvent
    from agentctl.core.state import RunState
    from agentctl.views.inbox import Unresolved
    from agentctl.views.run import RunView

_ALL = 100_000  # more runs than a person would look through
_MOST_CHILDREN = 1000


def row_of(store: Runs, run_id: str) -> RunRow:
    """Read the row of a run that was there a moment ago. Raises NotFound: pruning may have removed it since."""
    row = store.run(run_id)
    if row is None:
        raise NotFound(f"run {run_id} was removed meanwhile")
    return row


def folded(store: Journals, events: Iterable[AnyEvent]) -> RunState:
    """Fold a journal with the definitions that the run was pinned to. Raises StoreCorrupt when one is missing."""
    from agentctl.core.interpreter import fold
    from agentctl.engine.definitions import stored_plan

    return fold(events, lambda version: stored_plan(store, version))


def run_view(store: Store, row: RunRow, now: float, state: RunState | None = None) -> RunView:
    """Read a run with its steps and events. `state`: its journal folded, if the caller has it.

    Of a run whose journal cannot be read, its row, with that as its error.
    """
    from agentctl.views import run as views

    try:
        events = list(store.journal(row.id, lenient=True))
    except PayloadUnreadable as error:
        row = structs.replace(row, error=row.error or Error(error.kind, str(error)))
        return views.RunView(row=row, steps=(), feedback=store.feedback([row.id]).get(row.id, []))
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


def _with_children(store: Runs, row: RunRow) -> Iterator[RunRow]:
    yield row
    if row.status not in FINISHED:
        for child in store.history(HistoryFilter(parent=row.id, status=("waiting", "blocked"), limit=_MOST_CHILDREN)):
            yield from _with_children(store, child)


def taking(store: Store, run_ids: Sequence[str], name: str, data: JSON, event_id: str) -> list[str]:
    """Return those of the runs whose wait takes the event that was just offered to them, or has taken it by now."""
    conditional: dict[str, bool] = {}  # by version
    found = []
    for run_id in run_ids:
        row = store.run(run_id)
        if row is None:
            continue
        if row.version not in conditional:
            conditional[row.version] = _has_conditional_wait(store, row.version)
        if not conditional[row.version] or _takes(store, run_id, name, data, event_id):
            found.append(run_id)
    return found


def _has_conditional_wait(store: Journals, version: str) -> bool:
    stored = store.definition(version)
    return stored is not None and _is_conditional(stored.definition)


def _is_conditional(part: Any) -> bool:
    """Return whether a part of a definition holds a `wait: {event, if}`."""
    import msgspec

    from agentctl.model import Wait

    if isinstance(part, Wait):
        return part.condition is not None
    if isinstance(part, msgspec.Struct):
        return any(_is_conditional(getattr(part, name)) for name in part.__struct_fields__)
    return isinstance(part, list | tuple) and any(map(_is_conditional, part))


def _takes(store: Journals, run_id: str, name: str, data: JSON, event_id: str) -> bool:
    from agentctl.core.events import EventOffered
    from agentctl.core.interpreter import is_wanted
    from agentctl.core.timestamps import rfc3339
    from agentctl.language.event_names import event_matches

    state = folded(store, store.journal(run_id))
    if event_id in state.consumed_event_ids:
        return True
    event = {"name": name, "data": data, "id": event_id, "received_at": rfc3339(state.at)}
    return any(
        event_matches(pattern, name) and is_wanted(state, EventOffered(at=state.at, path=path, event=event))
        for path, pattern in state.subscriptions.items()
    )


def driver(store: Runs, run_id: str) -> RunRow:
    """Return the run that drives this one: the topmost unfinished ancestor, or the run itself."""
    row = row_of(store, run_id)
    while row.parent is not None:
        parent = store.run(row.parent.run_id)
        if parent is None or parent.status in FINISHED:
            break
        row = parent
    return row
