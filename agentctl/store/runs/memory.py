"""What loops remember between runs: `state.*`, one row for each key of a definition's name."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from agentctl import JSON
from agentctl.store.db.session import Session
from agentctl.store.runs.payloads import Payloads

PreparedValues = Sequence[tuple[str, str]]  # (key, JSON text)


def prepare_values(values: Mapping[str, JSON], payloads: Payloads) -> PreparedValues:
    """Raises StoreError when a large payload cannot be written."""
    return [(key, payloads.json(value) or "null") for key, value in values.items()]


def remember(session: Session, run: int, values: PreparedValues, at: float) -> None:
    """Set values in the state of the definition whose run (by key) remembers them, in the transaction under way."""
    session.connection.executemany(
        f"INSERT INTO memory (name, key, value, changed_at, run) SELECT name, ?, ?, ?, key FROM runs WHERE key = ? {_REPLACE}",
        [(key, value, at, run) for key, value in values],
    )


_REPLACE = """
ON CONFLICT (name, key) DO UPDATE SET value = excluded.value, changed_at = excluded.changed_at, run = excluded.run
"""


class Edit(msgspec.Struct, frozen=True):
    """A person's change of the state of definition `name`."""

    name: str
    values: PreparedValues
    unset: Sequence[str]

    def perform(self, session: Session) -> None:
        at = time.time()
        session.connection.executemany(
            f"INSERT INTO memory (name, key, value, changed_at) VALUES (?, ?, ?, ?) {_REPLACE}",
            [(self.name, key, value, at) for key, value in self.values],
        )
        session.connection.executemany("DELETE FROM memory WHERE name = ? AND key = ?", [(self.name, key) for key in self.unset])


def at_start(session: Session, run_ids: str) -> dict[str, dict[str, JSON]]:
    """By run id, what those of the runs (ids as a JSON list) find that have not started; runs that find nothing are left out."""
    found: dict[str, dict[str, JSON]] = {}
    for run_id, key, value in session.connection.execute(
        "SELECT runs.id, memory.key, memory.value FROM memory JOIN runs ON runs.name = memory.name"
        " WHERE runs.id IN (SELECT value FROM json_each(?)) AND runs.started_at IS NULL ORDER BY runs.key, memory.key",
        (run_ids,),
    ).fetchall():
        found.setdefault(run_id, {})[key] = session.payloads.read_json(value)
    return found


def read(connection: sqlite3.Connection, payloads: Payloads, name: str) -> dict[str, JSON]:
    rows: Iterable[tuple[str, str]] = connection.execute(
        "SELECT key, value FROM memory WHERE name = ? ORDER BY key", (name,)
    ).fetchall()
    return {key: payloads.read_json(value) for key, value in rows}
