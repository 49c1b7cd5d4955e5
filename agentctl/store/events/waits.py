"""Steps that wait for an event or a person: one row each, written in the commit that journals the start of the wait."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from agentctl import JSON
from agentctl.core.events import ApprovalGiven
from agentctl.errors import PayloadUnreadable
from agentctl.ports import OpenWait, Waiting
from agentctl.store.db.session import Session
from agentctl.store.events import offers
from agentctl.store.runs.mail import post
from agentctl.store.runs.payloads import Payloads


class PreparedWait(msgspec.Struct, frozen=True):
    """`subject`: as text."""

    wait: OpenWait
    subject: str | None


def prepare_wait(wait: OpenWait, payloads: Payloads) -> PreparedWait:
    """Raises StoreError when a large payload cannot be written."""
    return PreparedWait(wait, payloads.json(wait.subject))


def open_waits(session: Session, run: int, run_id: str, waits: Sequence[PreparedWait]) -> int:
    """From now on these steps of the run wait, and are offered what was kept for them; returns how many events that are.

    A known wait is left as it is.
    """
    offered = 0
    for prepared in waits:
        wait = prepared.wait
        opened = session.connection.execute(
            "INSERT INTO waits (run, path, kind, since, due, name, digest, subject, kept_since)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, path) DO NOTHING",
            (run, wait.path, wait.kind, wait.at, wait.due, wait.name, wait.digest, prepared.subject, wait.kept_since),
        ).rowcount
        if opened and wait.kind == "event":
            offered += offers.begin(session, run, run_id, wait.path, wait.name, wait.kept_since)
    return offered


def forget(session: Session, run: int, paths: Sequence[str]) -> None:
    """These steps wait no more."""
    session.connection.executemany("DELETE FROM waits WHERE run = ? AND path = ?", [(run, path) for path in paths])


class Answer(msgspec.Struct, frozen=True):
    """A person's answer to an approval. `text`: the event, encoded."""

    run_id: str
    event: ApprovalGiven
    text: str

    def perform(self, session: Session) -> bool:
        event = self.event
        taken = session.connection.execute(
            "UPDATE waits SET answered = ? WHERE run = (SELECT key FROM runs WHERE id = ?) AND path = ?"
            " AND kind = 'approval' AND digest = ? AND answered IS NULL",
            (event.at, self.run_id, event.path, event.digest),
        ).rowcount
        if taken:
            post(session, [(self.run_id, self.text)])
        return bool(taken)


# --- reads -------------------------------------------------------------------------------------------------------------

_COLUMNS = "r.id, r.name, w.path, w.kind, w.since, w.due, w.name, w.digest, w.subject, w.answered"
OF_RUN = f"SELECT {_COLUMNS} FROM runs r JOIN waits w ON w.run = r.key WHERE r.id = ? ORDER BY w.since, w.path"
FOR_PEOPLE = f"""
SELECT {_COLUMNS} FROM waits w JOIN runs r ON r.key = w.run
    WHERE w.kind <> 'event' AND w.answered IS NULL ORDER BY w.since
"""


def of_run(connection: sqlite3.Connection, payloads: Payloads, run_id: str) -> list[Waiting]:
    return _read(connection.execute(OF_RUN, (run_id,)), payloads)


def for_people(connection: sqlite3.Connection, payloads: Payloads) -> list[Waiting]:
    return _read(connection.execute(FOR_PEOPLE), payloads)


def _read(rows: sqlite3.Cursor, payloads: Payloads) -> list[Waiting]:
    return [
        Waiting(
            run_id=run_id,
            run_name=run_name,
            path=path,
            kind=kind,
            since=since,
            due=due,
            name=name,
            digest=digest,
            subject=_subject(subject, payloads),
            answered=answered,
        )
        for run_id, run_name, path, kind, since, due, name, digest, subject, answered in rows.fetchall()
    ]


def _subject(text: str | None, payloads: Payloads) -> JSON:
    """What is shown to a person; if it cannot be read, that."""
    try:
        return payloads.read_json(text)
    except PayloadUnreadable as error:
        return {"message": str(error)}
