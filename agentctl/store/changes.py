"""The other writes, one small class each: what the caller prepared, and `perform`, which the writer calls in a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from agentctl.errors import LeaseLost
from agentctl.ports import Awaiter, Lease
from agentctl.store import mail, memory
from agentctl.store.connection import checkpoint_in_commits
from agentctl.store.create import NewRow, create_runs
from agentctl.store.executors import Liveness
from agentctl.store.session import Disagreement, Held, Session


class Change(Protocol):
    def perform(self, session: Session) -> object:
        """Write; the answer goes to whoever awaits. May be called again after a rollback."""


class Create(msgspec.Struct, frozen=True):
    runs: list[NewRow]

    def perform(self, session: Session) -> None:
        create_runs(session, self.runs)


class Post(msgspec.Struct, frozen=True):
    mail: list[tuple[str, str]]

    def perform(self, session: Session) -> None:
        mail.post(session, self.mail)


class AwaitRun(msgspec.Struct, frozen=True):
    awaiter: Awaiter

    def perform(self, session: Session) -> None:
        mail.await_run(session, self.awaiter)


class Register(msgspec.Struct, frozen=True):
    """`format`: of the compiled form; a known definition that another agentctl compiled gets ours."""

    version: str
    name: str
    kind: str
    file: str
    source: str
    compiled: bytes
    format: str

    def perform(self, session: Session) -> None:
        session.connection.execute(
            "INSERT INTO definitions (version, name, kind, file, source, compiled, format) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (version) DO UPDATE SET compiled = excluded.compiled, format = excluded.format"
            " WHERE format <> excluded.format",
            (self.version, self.name, self.kind, self.file, self.source, self.compiled, self.format),
        )


class Acquire(msgspec.Struct, frozen=True):
    run_ids: Sequence[str]

    def perform(self, session: Session) -> list[Lease]:
        """A lease goes to us when it has no owner or a dead one; its epoch rises by one."""
        _become_executor(session)
        alive = Liveness(session.executor.folder, remove=True).alive
        ids = msgspec.json.encode(list(self.run_ids)).decode()
        rows = session.connection.execute(
            "SELECT id, key, epoch, owner, head, status, started_at, wake_at,"
            " EXISTS (SELECT 1 FROM mail WHERE mail.run = runs.key) FROM runs"
            " WHERE id IN (SELECT value FROM json_each(?))",
            (ids,),
        ).fetchall()
        free = {row[0]: row for row in rows if not alive(row[3])}
        changed = session.write_rows(
            "UPDATE runs SET epoch = v.column2 + 1, owner = v.column4 FROM (VALUES ",
            [(key, epoch, owner, session.executor.id) for _, key, epoch, owner, *_ in free.values()],
            ") v WHERE runs.key = v.column1 AND runs.epoch = v.column2 AND runs.owner IS v.column3",
        )
        if changed != len(free):
            raise Disagreement
        remembered = memory.at_start(session, ids)
        leases = []
        for run_id in dict.fromkeys(self.run_ids):
            if run_id in free:
                _, key, epoch, _, head, *rest, has_mail = free[run_id]
                session.stage(run_id, Held(key, epoch + 1, head, *rest))
                leases.append(Lease(run_id, epoch + 1, head, bool(has_mail), remembered.get(run_id, {})))
        return leases


def _become_executor(session: Session) -> None:
    """Only executors checkpoint; a command that merely leaves mail should not have to copy the log.

    The setting takes effect inside this very transaction, at its COMMIT.
    """
    if not session.executor.started:
        session.executor.start()
        checkpoint_in_commits(session.connection)


class Release(msgspec.Struct, frozen=True):
    leases: Sequence[Lease]
    status: str | None

    def perform(self, session: Session) -> None:
        for lease in self.leases:
            try:
                held = session.held(lease)
            except LeaseLost:
                continue
            session.connection.execute(
                "UPDATE runs SET owner = NULL, status = CASE WHEN finished_at IS NULL THEN coalesce(?, status) ELSE status END"
                " WHERE key = ? AND epoch = ? AND owner = ?",
                (self.status, held.key, held.epoch, session.executor.id),
            )
            session.stage(lease.run_id, None)


class ReleaseAll(msgspec.Struct, frozen=True):
    """The last change of a process: whatever it still holds is anybody's."""

    def perform(self, session: Session) -> None:
        session.connection.execute("UPDATE runs SET owner = NULL WHERE owner = ?", (session.executor.id,))
