"""Changes of runs and of their leases, one small class each: as prepared, and `perform`, in the writer's transaction.

Those of other things are in the rooms of these things. What a driver writes of its run goes by `append`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from agentctl.core.events import CancelRequested, RunResumed
from agentctl.errors import LeaseLost
from agentctl.ports import FINISHED, Admission, Awaiter, Lease
from agentctl.store.db.connection import array, checkpoint_in_commits
from agentctl.store.db.schema import VERSION
from agentctl.store.db.session import Disagreement, Held, Session
from agentctl.store.limits import queue
from agentctl.store.runs import mail, memory
from agentctl.store.runs.create import NewRow, create_runs
from agentctl.store.runs.executors import Liveness


class Change(Protocol):
    def perform(self, session: Session) -> object:
        """Write; returns the answer for the caller. May be called again after a rollback."""


class Create(msgspec.Struct, frozen=True):
    """`reserve`: for this process, which is an executor from now on."""

    runs: list[NewRow]
    reserve: bool

    def perform(self, session: Session) -> list[Admission]:
        if self.reserve:
            _become_executor(session)
        return create_runs(session, self.runs, session.executor.id if self.reserve else None)


class Post(msgspec.Struct, frozen=True):
    """`cancels`: a run is asked to end."""

    mail: list[tuple[str, str]]
    cancels: bool

    def perform(self, session: Session) -> None:
        mail.post(session, self.mail)


class AwaitRun(msgspec.Struct, frozen=True):
    awaiter: Awaiter

    def perform(self, session: Session) -> None:
        mail.await_run(session, self.awaiter)


class CheckWritable(msgspec.Struct, frozen=True):
    """See `Upkeep.check_writable`. SQLite writes the page with the number though it stays the same."""

    def perform(self, session: Session) -> None:
        session.connection.execute(f"PRAGMA user_version = {VERSION}")


class Register(msgspec.Struct, frozen=True):
    """`format`: of the compiled form; a known definition that another agentctl compiled gets ours.

    When it was last registered is noted once an hour at most, for pruning.
    """

    version: str
    name: str
    kind: str
    file: str
    source: str
    compiled: bytes
    format: str

    def perform(self, session: Session) -> None:
        session.connection.execute(
            "INSERT INTO definitions (version, name, kind, file, source, compiled, format, registered_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (version) DO UPDATE"
            " SET compiled = excluded.compiled, format = excluded.format, registered_at = excluded.registered_at"
            " WHERE format <> excluded.format OR registered_at < excluded.registered_at - 3600",
            (self.version, self.name, self.kind, self.file, self.source, self.compiled, self.format, time.time()),
        )


class _Row(NamedTuple):
    """A run that is asked for, as its row stands."""

    id: str
    key: int
    epoch: int
    owner: str | None
    head: int
    status: str
    started_at: float | None
    wake_at: float | None
    in_line: int | None
    has_mail: int


_ROWS = """
SELECT id, key, epoch, owner, head, status, started_at, wake_at, in_line, EXISTS (SELECT 1 FROM mail WHERE mail.run = runs.key)
    FROM runs WHERE id IN (SELECT value FROM json_each(?))
"""


class Acquire(msgspec.Struct, frozen=True):
    """`at`: by the driver's clock, for the limits of those that wait in the queue."""

    run_ids: Sequence[str]
    at: float

    def perform(self, session: Session) -> list[Lease]:
        """A lease goes to us when it has no owner or a dead one, or when it is reserved for us; its epoch rises by one."""
        _become_executor(session)
        liveness = session.executor.liveness(remove=True)
        ids = array(self.run_ids)
        rows = map(_Row._make, session.connection.execute(_ROWS, (ids,)).fetchall())
        free = {row.id: row for row in rows if self._may_take(session, liveness, row)}
        limited = [row for row in free.values() if row.in_line is not None]
        for run_id in self._must_wait(session, liveness, limited) if limited else ():
            self._reserve_turn(session, free.pop(run_id))
        changed = session.write_rows(
            "UPDATE runs SET epoch = v.column2 + 1, owner = v.column4 FROM (VALUES ",
            [(row.key, row.epoch, row.owner, session.executor.id) for row in free.values()],
            ") v WHERE runs.key = v.column1 AND runs.epoch = v.column2 AND runs.owner IS v.column3",
        )
        if changed != len(free):
            raise Disagreement
        remembered = memory.at_start(session, ids)
        leases = []
        for run_id in dict.fromkeys(self.run_ids):
            row = free.get(run_id)
            if row is not None:
                epoch, is_limited = row.epoch + 1, row.in_line is not None
                session.stage(run_id, Held(row.key, epoch, row.head, row.status, row.started_at, row.wake_at, is_limited))
                leases.append(Lease(run_id, epoch, row.head, bool(row.has_mail), remembered.get(run_id, {})))
        return leases

    def _may_take(self, session: Session, liveness: Liveness, row: _Row) -> bool:
        if row.owner == session.executor.id:
            return not session.is_leased(row.id)  # reserved, but not leased yet
        return not liveness.alive(row.owner)

    def _must_wait(self, session: Session, liveness: Liveness, limited: Sequence[_Row]) -> list[str]:
        """Those of runs with limits, by id, for which there is no place now. One that is to be cancelled needs none."""
        by_key = {row.key: row.id for row in limited}
        kinds = queue.mail_kinds(session, [row.key for row in limited if row.has_mail])
        ended = [row.key for row in limited if row.status in FINISHED and RunResumed in kinds.get(row.key, ())]
        unstarted = [row.key for row in limited if row.status == "queued" and not row.in_line]
        queued = {row.key for row in limited if row.in_line}
        queued |= queue.return_to(session, ended) if ended else set()
        queued |= queue.return_unstarted(session, unstarted) if unstarted else set()
        asked = [key for key in queued if CancelRequested not in kinds.get(key, ())]
        return [by_key[key] for key in queue.admit(session, liveness, asked, self.at)] if asked else []

    def _reserve_turn(self, session: Session, row: _Row) -> None:
        """It is ours to start when its turn comes, so that those behind it know that it counts."""
        if row.owner != session.executor.id:
            session.connection.execute(
                "UPDATE runs SET owner = ? WHERE key = ? AND epoch = ? AND owner IS ?",
                (session.executor.id, row.key, row.epoch, row.owner),
            )


def _become_executor(session: Session) -> None:
    """Only executors checkpoint; a command that merely leaves mail should not have to copy the log.

    The setting takes effect inside this very transaction, at its COMMIT.
    """
    if not session.executor.started:
        session.executor.start()
        checkpoint_in_commits(session.connection)


class Release(msgspec.Struct, frozen=True):
    """`error`: JSON of why the runs cannot be driven; no timer of theirs makes them due any more."""

    leases: Sequence[Lease]
    status: str | None
    error: str | None = None

    def perform(self, session: Session) -> None:
        for lease in self.leases:
            try:
                held = session.held(lease)
            except LeaseLost:
                continue
            session.connection.execute(
                "UPDATE runs SET owner = NULL, status = CASE WHEN finished_at IS NULL THEN coalesce(?1, status) ELSE status END,"
                " error = coalesce(?2, error), wake_at = CASE WHEN ?2 IS NULL THEN wake_at END"
                " WHERE key = ?3 AND epoch = ?4 AND owner = ?5",
                (self.status, self.error, held.key, held.epoch, session.executor.id),
            )
            session.stage(lease.run_id, None)


class ReleaseAll(msgspec.Struct, frozen=True):
    """The last change of a process: whatever it still holds is anybody's."""

    def perform(self, session: Session) -> None:
        session.connection.execute("UPDATE runs SET owner = NULL WHERE owner = ?", (session.executor.id,))
