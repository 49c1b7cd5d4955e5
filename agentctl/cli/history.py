"""`agentctl history`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import complete, output, params, place, words
from agentctl.ports import HistoryFilter

if TYPE_CHECKING:
    from agentctl.ports import RunRow, Store

_MOST_REASONS = 100  # of a line of thousands the first say enough


def command(
    loop: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only runs of this loop or skill.", autocompletion=complete.definitions),
    ] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="STATUS", help="Only runs in this status; repeatable.", autocompletion=complete.statuses),
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="7d|TIME", help="Only runs created since then.")] = None,
    until: Annotated[str | None, typer.Option(metavar="7d|TIME", help="Only runs created before then.")] = None,
    parent: Annotated[
        str | None, typer.Option(metavar="RUN", help="Only runs that this run started.", autocompletion=complete.runs)
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Only runs started so: manual, skill, cron ...", autocompletion=complete.triggers),
    ] = None,
    limit: Annotated[str, typer.Option(metavar="N", help="At most so many.")] = "50",
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """List runs, newest first."""
    now = time.time()
    query = HistoryFilter(
        name=loop,
        status=words.run_statuses(status or []),
        since=None if since is None else words.point_in_time("--since", since, now),
        until=None if until is None else words.point_in_time("--until", until, now),
        trigger=trigger,
        limit=words.count("--limit", limit),
    )
    with place.reading(db) as store:
        if parent is not None:
            import msgspec

            query = msgspec.structs.replace(query, parent=place.found(store, parent).id)
        rows = [] if store is None else store.history(query)
        reasons = {} if store is None or json else _reasons(store, rows)
    from agentctl.render import documents, history

    if json:
        output.print_json([documents.run_document(row) for row in rows])
    elif not rows:
        output.note(history.NONE if store is not None else history.EMPTY)
    else:
        output.show(
            lambda: history.format_history(rows, now, reasons),
            lambda screen: history.history_table(rows, now, reasons, width=screen.width),
        )


def _reasons(store: Store, rows: Sequence[RunRow]) -> dict[str, str]:
    """Why queued runs stand in line, by id."""
    queued = [row.id for row in rows if row.status == "queued"]
    return {run_id: standing.reason for run_id in queued[:_MOST_REASONS] if (standing := store.standing(run_id)) is not None}
