"""Feedback on runs: one verdict for each run and author, the last one counts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

import msgspec

from agentctl.ports import Feedback
from agentctl.store.db.connection import array
from agentctl.store.db.session import Session


class Give(msgspec.Struct, frozen=True):
    """See `People.give_feedback`."""

    run_id: str
    verdict: str
    note: str | None
    by: str
    person: bool

    def perform(self, session: Session) -> None:
        session.connection.execute(
            "INSERT INTO feedback (run, verdict, note, by, person, at) SELECT key, ?, ?, ?, ?, ? FROM runs WHERE id = ?"
            " ON CONFLICT (run, person, by) DO UPDATE SET verdict = excluded.verdict, note = excluded.note, at = excluded.at",
            (self.verdict, self.note, self.by, self.person, time.time(), self.run_id),
        )


def read(connection: sqlite3.Connection, run_ids: Sequence[str]) -> dict[str, list[Feedback]]:
    """See `People.feedback`."""
    rows = connection.execute(
        "SELECT r.id, f.verdict, f.note, f.by, f.person, f.at FROM json_each(?) v CROSS JOIN runs r ON r.id = v.value"
        " CROSS JOIN feedback f ON f.run = r.key ORDER BY f.person, f.at, f.id",
        (array(run_ids),),
    ).fetchall()
    found: dict[str, list[Feedback]] = {}
    for run_id, verdict, note, by, person, at in rows:
        given = Feedback(verdict=verdict, note=note, by=by or None, person=bool(person), at=at)
        found.setdefault(run_id, []).append(given)
    return found
