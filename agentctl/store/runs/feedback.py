"""What people said of a run. One verdict a run: the last one counts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

import msgspec

from agentctl.ports import Feedback
from agentctl.store.db.arrays import array
from agentctl.store.db.session import Session


class Give(msgspec.Struct, frozen=True):
    run_id: str
    verdict: str
    note: str | None

    def perform(self, session: Session) -> None:
        session.connection.execute(
            "INSERT INTO feedback (run, verdict, note, at) SELECT key, ?, ?, ? FROM runs WHERE id = ?"
            " ON CONFLICT (run) DO UPDATE SET verdict = excluded.verdict, note = excluded.note, at = excluded.at",
            (self.verdict, self.note, time.time(), self.run_id),
        )


def read(connection: sqlite3.Connection, run_ids: Sequence[str]) -> dict[str, Feedback]:
    """By run id; a run without feedback is missing."""
    ids = array(run_ids)
    rows = connection.execute(
        "SELECT r.id, f.verdict, f.note, f.at FROM runs r JOIN feedback f ON f.run = r.key"
        " WHERE r.id IN (SELECT value FROM json_each(?))",
        (ids,),
    ).fetchall()
    return {run_id: Feedback(verdict=verdict, note=note, at=at) for run_id, verdict, note, at in rows}
