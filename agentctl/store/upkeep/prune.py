"""Prune a store: remove what is older than it is to remember, in pieces so small that no writer waits for long.

What is looked for is looked for on a connection that only reads, and removed by a Change that asks again, within its transaction,
whether it may: a run may have been resumed meanwhile. Runs go by families, a run with all that it started, children first, so
that pruning which was cut off in the middle finds the rest the next time. A family stays whole as long as a run in it

    is unfinished, or ended too recently            holds the claim on an idempotency key: no other run may do that work
    is about to be resumed                          is the one that `dedupe` still names to later starts

Results under an `idempotency_key` stay for ever, with their output: that is what they promise. Those of a `cache` go when their
time is up. Events stay for the unfinished runs that may wait for them, and as long as a second delivery must be recognised.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from agentctl.ports import Pruned
from agentctl.store.db.connection import array, checkpoint_in_commits
from agentctl.store.db.location import StoreLocation
from agentctl.store.db.session import Session
from agentctl.store.upkeep import prunable
from agentctl.store.upkeep.orphan_files import sweep

OpenReader = Callable[[], sqlite3.Connection]
Submit = Callable[["Removal"], Awaitable[Any]]
Pause = Callable[[], Awaitable[None]]

# Tables with rows of one run, and the column that holds its key.
OF_A_RUN = (
    ("journal", "run"),
    ("mail", "run"),
    ("waits", "run"),
    ("taken", "run"),
    ("wait_starts", "run"),
    ("outputs", "run"),
    ("snapshots", "run"),
    ("reservations", "run"),
    ("feedback", "run"),
    ("claims", "run"),
    ("awaiters", "run"),
    ("awaiters", "target"),
    ("places", "run"),
    ("firsts", "run"),
)
_GIVEN_BACK = 500  # pages at once; 2 MiB
_KEPT_FREE = 0.1  # share of the file that stays free: it is filled again soon


async def prune(place: StoreLocation, open_reader: OpenReader, submit: Submit, now: float, keep: float, pause: Pause) -> Pruned:
    """See `Upkeep.prune`. Reading is done in a thread, so that the event loop stays free."""
    removed = dict.fromkeys(("runs", "events", "slots", "results", "definitions"), 0)
    with contextlib.closing(open_reader()) as reader:
        terms = prunable.Terms(reader, now, keep)
        for pieces in (_runs(reader, terms), _rows(reader, terms)):
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                kind, removal = piece
                gone = await submit(removal)
                if isinstance(removal, RemoveRuns):
                    await asyncio.to_thread(_remove_logs, place, gone)
                if kind in removed:
                    removed[kind] += len(gone) if isinstance(removal, RemoveRuns) else gone
                await pause()
    files, size = await asyncio.to_thread(sweep, place, open_reader)
    while await submit(ReleaseClaim()):
        await pause()
    return Pruned(**removed, files=files, bytes=size)


Piece = tuple[str, "RemoveRuns | RemoveRows"]


def _runs(reader: sqlite3.Connection, terms: prunable.Terms) -> Iterator[Piece]:
    for ids in prunable.runs(reader, terms):
        yield "runs", RemoveRuns(ids, terms.before)


def _rows(reader: sqlite3.Connection, terms: prunable.Terms) -> Iterator[Piece]:
    """Lazily, one kind after the other: what the runs referred to is unused once they are gone."""
    for kind, statement, find in prunable.KINDS:
        for rows in find(reader, terms):
            yield kind, RemoveRows(statement, rows)


class RemoveRuns(msgspec.Struct, frozen=True):
    """Returns the ids of those that are gone; one that is needed after all stays."""

    ids: list[str]
    before: float

    def perform(self, session: Session) -> list[str]:
        # A command that prunes is no executor, but the log of what it removes is its own to copy back.
        checkpoint_in_commits(session.connection)
        found = session.connection.execute(_STILL_OVER, (array(self.ids), self.before)).fetchall()
        alive = session.executor.liveness().alive
        rows = [(key, run_id) for key, run_id, owner in found if not alive(owner)]
        keys = array(key for key, _ in rows)
        for table, column in OF_A_RUN:
            session.connection.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))", (keys,))
        session.connection.execute("UPDATE memory SET run = NULL WHERE run IN (SELECT value FROM json_each(?))", (keys,))
        accounts = [f"run/{run_id}" for _, run_id in rows]
        session.connection.executemany("DELETE FROM accounts WHERE key = ?", [(account,) for account in accounts])
        session.connection.execute("DELETE FROM runs WHERE key IN (SELECT value FROM json_each(?))", (keys,))
        return [run_id for _, run_id in rows]


# Neither it nor a run above it is being resumed: a run that is resumed may need what it started.
_STILL_OVER = """
WITH RECURSIVE above (run, id) AS (
    SELECT id, id FROM runs WHERE id IN (SELECT value FROM json_each(?1))
    UNION SELECT above.run, r.parent FROM above CROSS JOIN runs r ON r.id = above.id WHERE r.parent IS NOT NULL
), needed (run) AS (
    SELECT above.run FROM above CROSS JOIN runs r ON r.id = above.id WHERE r.finished_at IS NULL OR r.finished_at >= ?2
        OR EXISTS (SELECT 1 FROM mail WHERE mail.run = r.key AND mail.event LIKE '{"type":"RunResumed"%')
)
SELECT key, id, owner FROM runs WHERE id IN (SELECT value FROM json_each(?1)) AND id NOT IN (SELECT run FROM needed)
"""


class RemoveRows(msgspec.Struct, frozen=True):
    """One statement for each of the rows; returns how many are gone."""

    statement: str
    rows: list[tuple[Any, ...]]

    def perform(self, session: Session) -> int:
        checkpoint_in_commits(session.connection)
        return session.connection.executemany(self.statement, self.rows).rowcount


class ReleaseClaim(msgspec.Struct, frozen=True):
    """Return free pages at the end of the file to the disk; False: few are left."""

    def perform(self, session: Session) -> bool:
        checkpoint_in_commits(session.connection)
        free, pages = (session.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
        surplus = free - int(pages * _KEPT_FREE)
        if surplus <= 0 or session.connection.execute("PRAGMA auto_vacuum").fetchone()[0] == 0:
            return False
        for _ in range(min(surplus, _GIVEN_BACK)):  # one at a time: of a statement without columns Python takes one step only
            session.connection.execute("PRAGMA incremental_vacuum(1)")
        return bool(surplus > _GIVEN_BACK)


Removal = RemoveRuns | RemoveRows | ReleaseClaim


def _remove_logs(place: StoreLocation, run_ids: list[str]) -> None:
    for run_id in run_ids:
        with contextlib.suppress(OSError):  # it wrote none; one that cannot be removed is swept later
            place.log_path(run_id).unlink()
