"""All runs in the order in which they were created, in memory one at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

from agentctl.ports import HistoryFilter, RunRow
from agentctl.store.runs import reads
from agentctl.store.runs.executors import Liveness
from agentctl.store.runs.payloads import Payloads

_PAGE = 1000  # keys


def walk(
    connection: sqlite3.Connection, payloads: Payloads, liveness: Callable[[], Liveness], query: HistoryFilter
) -> Iterator[RunRow]:
    """See `Runs.iter_runs`. Keys are read in pages, so that no query stays open; a run that was pruned meanwhile is left out."""
    plain, values = reads.filters(query)
    where = " AND ".join(["(created_at, key) > (?, ?)", *plain])
    page = f"SELECT created_at, key, id FROM runs WHERE {where} ORDER BY created_at, key LIMIT {_PAGE}"
    last = (0.0, 0)
    while True:
        keys = connection.execute(page, (*last, *values)).fetchall()
        alive = liveness()
        for _, _, run_id in keys:
            row = reads.run(connection, payloads, alive, run_id)
            if row is not None and (not query.status or row.status in query.status):
                yield row
        if len(keys) < _PAGE:
            return
        last = keys[-1][:2]
