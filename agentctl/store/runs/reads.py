"""Queries on a connection of their own: they see every acknowledged write and block no writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, get_args

import msgspec

from agentctl.core.events import AnyEvent, Error, Parent, Usage
from agentctl.errors import AmbiguousPrefix, NotFound, PayloadUnreadable
from agentctl.ports import HistoryFilter, RunRow, RunStatus
from agentctl.store.db.connection import array
from agentctl.store.runs.executors import Liveness
from agentctl.store.runs.payloads import OUTPUT, Payloads, digest_of

_LISTED = (
    "id, name, kind, version, status, trigger, parent, parent_path, parent_depth, created_at, started_at, finished_at,"
    " steps_done, steps_total, usage, output, error, wake_at, input, event, head, epoch, owner"
)
_COLUMNS = _LISTED.replace("output", OUTPUT)
_LAST_CHARACTER = "\U0010ffff"

_usage = msgspec.json.Decoder(Usage)
_error = msgspec.json.Decoder(Error)


def read_row(row: Sequence[Any], payloads: Payloads, liveness: Liveness, *, whole: bool = True) -> RunRow:
    """A RunRow of `_COLUMNS`. Stored `running` without a living owner is shown as `interrupted`.

    `whole`: with its output, input and event, wherever they stand; else only those that are short. What cannot be read is left
    out, and is the error of a run that has no other.
    """
    (id_, name, kind, version, status, trigger, parent, parent_path, parent_depth, created_at, started_at, finished_at) = row[:12]
    (steps_done, steps_total, usage, output, error, wake_at, input_, event, head, epoch, owner) = row[12:]
    if status == "running" and not liveness.alive(owner):
        status = "interrupted"
    values = _Values(payloads, whole)
    known = None if error is None else values.error(error)
    return RunRow(
        id=id_,
        name=name,
        kind=kind,
        version=version,
        status=status,
        trigger=trigger,
        parent=None if parent is None else Parent(parent, parent_path, parent_depth),
        created_at=created_at,
        started_at=started_at,
        finished_at=finished_at,
        steps_done=steps_done,
        steps_total=steps_total,
        usage=None if usage is None else _usage.decode(usage),
        output=values.json(output),
        input=values.json(input_) or {},
        event=values.json(event),
        error=known or values.problem,
        wake_at=wake_at,
        head=head,
        epoch=epoch,
        owner=owner,
    )


class _Values:
    """The texts of one row. `problem`: the first that could not be read."""

    def __init__(self, payloads: Payloads, whole: bool) -> None:
        self._payloads = payloads
        self._whole = whole
        self.problem: Error | None = None

    def json(self, text: str | None) -> Any:
        if text is None or (not self._whole and text.startswith(("@", "#"))):
            return None
        try:
            return self._payloads.read_json(text)
        except PayloadUnreadable as error:
            self.problem = self.problem or _problem(error)
            return None

    def error(self, text: str) -> Error:
        try:
            return _error.decode(self._payloads.read(text))
        except PayloadUnreadable as error:
            return _problem(error)


def _problem(error: PayloadUnreadable) -> Error:
    return Error(error.kind, str(error))


def run(connection: sqlite3.Connection, payloads: Payloads, liveness: Liveness, run_id: str) -> RunRow | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run_id,)).fetchone()
    return None if row is None else read_row(row, payloads, liveness)


def find(connection: sqlite3.Connection, prefix: str) -> str:
    """The id that `prefix` means. Raises NotFound, AmbiguousPrefix."""
    if prefix == "last":
        newest = connection.execute(
            "SELECT id FROM runs WHERE parent IS NULL ORDER BY created_at DESC, key DESC LIMIT 1"
        ).fetchone()
        if newest is None:
            raise NotFound("there is no run yet")
        return str(newest[0])
    ids = [
        row[0]
        for row in connection.execute(
            "SELECT id FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT 4", (prefix, prefix + _LAST_CHARACTER)
        )
    ]
    if not ids:
        raise NotFound(f"no run begins with {prefix!r}")
    if len(ids) > 1 and ids[0] != prefix:
        some = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
        raise AmbiguousPrefix(f"several runs begin with {prefix!r}: {some}")
    return str(ids[0])


def history(connection: sqlite3.Connection, payloads: Payloads, liveness: Liveness, query: HistoryFilter) -> list[RunRow]:
    """Newest first. One indexed range per status, merged; so a rare status in a large store costs its own rows only."""
    if query.limit <= 0:
        return []
    plain, values = filters(query)
    keys: list[tuple[float, int]] = []
    for condition, more in _by_status(connection, liveness, query):
        where = " AND ".join([*plain, *condition]) or "TRUE"
        statement = f"SELECT created_at, key FROM runs WHERE {where} ORDER BY created_at DESC, key DESC LIMIT ?"
        keys.extend(connection.execute(statement, (*values, *more, query.limit)))
    newest = sorted(set(keys), reverse=True)[: query.limit]
    by_key = f"SELECT {_COLUMNS if query.whole else _LISTED} FROM runs WHERE key = ?"
    rows = (connection.execute(by_key, (key,)).fetchone() for _, key in newest)
    return [read_row(row, payloads, liveness, whole=query.whole) for row in rows]


_PAGE = 1000  # keys


def iter_runs(
    connection: sqlite3.Connection, payloads: Payloads, liveness: Callable[[], Liveness], query: HistoryFilter
) -> Iterator[RunRow]:
    """See `Runs.iter_runs`. Keys are read in pages, so that no query stays open; a run that was pruned meanwhile is left out."""
    from sqlite_utils import Database  # 60 ms: for `export`, which takes long anyway

    runs = Database(connection, execute_plugins=False).table("runs")
    plain, values = filters(query)
    where = " AND ".join(["(created_at, key) > (?, ?)", *plain])
    last = (0.0, 0)
    while True:
        page = list(
            runs.rows_where(where, [*last, *values], select="created_at, key, id", order_by="created_at, key", limit=_PAGE)
        )
        alive = liveness()
        for found in page:
            row = run(connection, payloads, alive, found["id"])
            if row is not None and (not query.status or row.status in query.status):
                yield row
        if len(page) < _PAGE:
            return
        last = page[-1]["created_at"], page[-1]["key"]


def filters(query: HistoryFilter) -> tuple[list[str], list[Any]]:
    wanted = {
        "name = ?": query.name,
        "created_at >= ?": query.since,
        "created_at <= ?": query.until,
        "parent = ?": query.parent,
        "trigger = ?": query.trigger,
    }
    given = {condition: value for condition, value in wanted.items() if value is not None}
    return list(given), list(given.values())


def _by_status(connection: sqlite3.Connection, liveness: Liveness, query: HistoryFilter) -> Iterator[tuple[list[str], list[Any]]]:
    """Conditions of the ranges to merge: (SQL conditions, their values).

    Whether the owner lives decides between `running` and `interrupted`.
    """
    if not query.status and query.name is None:
        yield [], []
        return
    living = owners(connection, liveness, alive=True)
    marks = ",".join("?" * len(living))
    for status in query.status or get_args(RunStatus):
        if status == "running" and query.status:
            yield ["status = 'running'", f"owner IN ({marks})"], living
            continue
        yield ["status = ?"], [status]
        if status == "interrupted" and query.status:
            yield ["status = 'running'", f"(owner IS NULL OR owner NOT IN ({marks}))"], living


def owners(connection: sqlite3.Connection, liveness: Liveness, *, alive: bool) -> list[str]:
    """The executors that hold leases and live, or do not. There are a handful; the index of owners is skipped through."""
    found = connection.execute(
        "WITH RECURSIVE holder (owner) AS (SELECT min(owner) FROM runs WHERE owner IS NOT NULL"
        " UNION ALL SELECT (SELECT min(owner) FROM runs WHERE owner > holder.owner) FROM holder WHERE holder.owner IS NOT NULL)"
        " SELECT owner FROM holder WHERE owner IS NOT NULL"
    ).fetchall()
    return [owner for (owner,) in found if liveness.alive(owner) == alive]


def journal(
    connection: sqlite3.Connection, payloads: Payloads, run_id: str, after: int, *, lenient: bool = False
) -> Iterator[AnyEvent]:
    """Fetched at once: an open query would keep the log from being copied back."""
    rows = connection.execute(
        "SELECT event FROM journal WHERE run = (SELECT key FROM runs WHERE id = ?) AND seq > ? ORDER BY seq", (run_id, after)
    ).fetchall()
    shared = {digest_of(text) for (text,) in rows if text.startswith("#")}
    outputs = dict(connection.execute(_SHARED, (run_id, array(shared))).fetchall()) if shared else {}
    return (payloads.read_event(text, outputs, lenient=lenient) for (text,) in rows)


_SHARED = """
SELECT digest, value FROM outputs WHERE run = (SELECT key FROM runs WHERE id = ?)
    AND digest IN (SELECT value FROM json_each(?))
"""


def snapshot(connection: sqlite3.Connection, run_id: str) -> tuple[int, bytes] | None:
    """See `Journals.snapshot`."""
    found: tuple[int, bytes] | None = connection.execute(
        "SELECT s.head, s.state FROM runs r JOIN snapshots s ON s.run = r.key WHERE r.id = ?", (run_id,)
    ).fetchone()
    return found


def last_event_times(connection: sqlite3.Connection, payloads: Payloads, run_ids: Sequence[str]) -> dict[str, float]:
    """The time of the last event of each, by id; a run whose last event cannot be read is missing."""
    ids = array(run_ids)
    rows = connection.execute(
        "SELECT r.id, j.event FROM json_each(?) i CROSS JOIN runs r ON r.id = i.value"
        " CROSS JOIN journal j ON j.run = r.key AND j.seq = r.head",
        (ids,),
    ).fetchall()
    times = {}
    for run_id, text in rows:
        with suppress(PayloadUnreadable):
            times[run_id] = payloads.read_event(text).at
    return times
