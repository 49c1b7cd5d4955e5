"""What the writer knows while it commits: its connection, its executor, and the state of the runs it leases.

The lease of a living process is never taken, so what this process last wrote of a run is what the database holds. The
cache saves a query per append and shows which columns change; every UPDATE names the state it expects all the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from agentctl.errors import LeaseLost
from agentctl.ports import Lease
from agentctl.store.runs.executors import Executor
from agentctl.store.runs.payloads import Payloads

_MOST_ROWS = 256  # of one statement; times 16 columns stays far below SQLite's limit of 32,766 parameters


class Disagreement(Exception):
    """The database does not hold the state an UPDATE named. The transaction is rolled back; nothing was written."""


class Held(msgspec.Struct, frozen=True):
    """A leased run as its row stands. `limited`: there are places that it gives up when it ends."""

    key: int
    epoch: int
    head: int
    status: str
    started_at: float | None
    wake_at: float | None
    limited: bool = False


class Session:
    def __init__(self, connection: sqlite3.Connection, payloads: Payloads, executor: Executor) -> None:
        self.connection = connection
        self.payloads = payloads
        self.executor = executor
        self._held: dict[str, Held] = {}
        self._staged: dict[str, Held | None] = {}  # becomes true with the commit

    def held(self, lease: Lease) -> Held:
        """Raises LeaseLost when this process does not hold that lease (any more)."""
        run_id = lease.run_id
        held = self._staged[run_id] if run_id in self._staged else self._held.get(run_id)
        if held is None or held.epoch != lease.epoch:
            raise LeaseLost(f"run {run_id} is not ours any more: its lease number {lease.epoch} was given back or taken over")
        return held

    def is_leased(self, run_id: str) -> bool:
        return (self._staged[run_id] if run_id in self._staged else self._held.get(run_id)) is not None

    def stage(self, run_id: str, held: Held | None) -> None:
        self._staged[run_id] = held

    def committed(self) -> None:
        for run_id, held in self._staged.items():
            if held is None:
                self._held.pop(run_id, None)
            else:
                self._held[run_id] = held
        self._staged.clear()

    def rolled_back(self) -> None:
        self._staged.clear()

    def forget(self, run_id: str) -> None:
        self._held.pop(run_id, None)

    def write_rows(self, before: str, rows: Sequence[tuple[Any, ...]], after: str = "") -> int:
        """Execute `before (VALUES of rows) after`; returns the number of rows changed.

        A few statements of many rows rather than many statements: sqlite3 lets go of the GIL around each one, and beside
        a busy event loop it waits up to 5 ms to get it back. Sizes are powers of two, so that prepared statements recur.
        """
        if not rows:
            return 0
        one = "(" + ",".join("?" * len(rows[0])) + ")"
        changed = 0
        for part in _parts(rows):
            parameters = [value for row in part for value in row]
            changed += self.connection.execute(before + ",".join([one] * len(part)) + after, parameters).rowcount
        return changed


def _parts(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    start, size = 0, _MOST_ROWS
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size
