"""`agentctl history`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import complete, context, output, params, queries
from agentctl.ports import DueRuns, HistoryFilter

if TYPE_CHECKING:
    from agentctl.ports import RunRow, Store

_MOST_REASONS = 100  # in a long queue the first ones say enough


EXAMPLES = (
    "agentctl history --status failed --since 7d",
    "agentctl history --loop hello --limit 5 --json",
)


def command(  # long: half of it declares the options
    loop: params.OfLoop = None,
    status: params.InStatus = None,
    since: params.Since = None,
    until: Annotated[str | None, typer.Option(metavar="7d|TIME", help="Only runs created before then.")] = None,
    parent: Annotated[
        str | None, typer.Option(metavar="RUN", help="Only runs that this run started.", autocompletion=complete.runs)
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Only with this trigger: manual, skill, cron ...", autocompletion=complete.triggers),
    ] = None,
    stalled: Annotated[bool, typer.Option("--stalled", help="Only runs that make no progress.")] = False,
    limit: Annotated[str, typer.Option(metavar="INTEGER", help="The number of runs to show.")] = "50",
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """List runs, newest first."""
    now = time.time()
    query = HistoryFilter(
        name=loop,
        status=params.run_statuses(status or []),
        since=None if since is None else params.point_in_time("--since", since, now),
        until=None if until is None else params.point_in_time("--until", until, now),
        trigger=trigger,
        limit=params.count("--limit", limit),
    )
    with context.reading(db) as store:
        if parent is not None:
            import msgspec

            query = msgspec.structs.replace(query, parent=context.found(store, parent).id)
        rows, stalls = _rows(store, query, now, stalled=stalled)
        feedback = store.feedback([row.id for row in rows]) if store is not None and json else {}
        reasons = {} if store is None or json else _reasons(store, rows, stalls, now)
    from agentctl.render import history

    if json:
        from agentctl.views.runs import history_document

        output.print_json(history_document(rows, stalls, feedback))
    elif not rows:
        output.note(history.NONE if store is not None else history.EMPTY)
    else:
        output.show(
            lambda: history.format_history(rows, now, reasons),
            lambda screen: history.history_table(rows, now, reasons, width=screen.width),
        )


def _rows(store: Store | None, query: HistoryFilter, now: float, *, stalled: bool) -> tuple[list[RunRow], dict[str, float]]:
    """Return the runs, and since when those that stall do so."""
    if store is None:
        return [], {}
    if stalled:
        found = queries.stalled_runs(store, now, query)
        return [row for row, _ in found], {row.id: since for row, since in found}
    rows = store.history(query)
    return rows, queries.stalls(store, rows, now)


def _reasons(store: DueRuns, rows: Sequence[RunRow], stalls: Mapping[str, float], now: float) -> dict[str, str]:
    """Return why runs make no progress, or why they wait in the queue, by id."""
    from agentctl.render import history

    queued = [row.id for row in rows if row.status == "queued" and row.id not in stalls]
    standing = {run_id: found.reason for run_id in queued[:_MOST_REASONS] if (found := store.queue_position(run_id)) is not None}
    return standing | {run_id: history.stalled(since, now) for run_id, since in stalls.items()}
