"""Mail between runs, and the ends of runs that others wait for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from agentctl.core.events import ChildFinished, Error, Usage
from agentctl.ports import FINISHED, Awaiter
from agentctl.store.db.connection import array
from agentctl.store.db.session import Session
from agentctl.store.runs.payloads import OUTPUT


def post(session: Session, mail: Sequence[tuple[str, str]]) -> None:
    """Put down (run id, encoded event) pairs in their order. Mail for a run that does not exist is dropped."""
    session.write_rows(
        "INSERT INTO mail (run, event) SELECT r.key, v.column2 FROM (VALUES ",
        mail,
        ") v CROSS JOIN runs r WHERE r.id = v.column1",
    )


def tell_awaiters(session: Session, finished: Mapping[int, ChildFinished]) -> None:
    """Mail the ends of these runs (by key) to the runs that await them."""
    keys = array(finished)
    waiting = session.connection.execute(
        "SELECT a.target, r.id, a.path FROM awaiters a JOIN runs r ON r.key = a.run"
        " WHERE a.target IN (SELECT value FROM json_each(?))",
        (keys,),
    ).fetchall()
    if not waiting:
        return
    post(session, [(run_id, _addressed(session, finished[target], path)) for target, run_id, path in waiting])
    session.connection.execute("DELETE FROM awaiters WHERE target IN (SELECT value FROM json_each(?))", (keys,))


def await_run(session: Session, awaiter: Awaiter) -> None:
    """Mail the awaiter at once when the target has finished or never was, else when it does."""
    target = session.connection.execute("SELECT key FROM runs WHERE id = ?", (awaiter.target,)).fetchone()
    if target is None:
        end = ChildFinished(at=time.time(), path=awaiter.path, run_id=awaiter.target, status="not_found")
        post(session, [(awaiter.run_id, session.payloads.event(end))])
    else:
        await_key(session, target[0], awaiter.run_id, awaiter.path)


def await_key(session: Session, target: int, run_id: str, path: str, *, resumed: bool = False) -> None:
    """`resumed`: a finished target is about to run again; its next end counts."""
    end = None if resumed else _end(session, target)
    if end is None:
        session.connection.execute(
            "INSERT OR IGNORE INTO awaiters (target, run, path) SELECT ?, key, ? FROM runs WHERE id = ?", (target, path, run_id)
        )
    else:
        post(session, [(run_id, _addressed(session, end, path))])


def _end(session: Session, key: int) -> ChildFinished | None:
    run_id, status, finished_at, output, error, usage = session.connection.execute(
        f"SELECT id, status, finished_at, {OUTPUT}, error, usage FROM runs WHERE key = ?", (key,)
    ).fetchone()
    if status not in FINISHED:
        return None
    return ChildFinished(
        at=finished_at,
        path="",
        run_id=run_id,
        status=status,
        output=session.payloads.read_json(output),
        error=None if error is None else msgspec.json.decode(session.payloads.read(error), type=Error),
        usage=None if usage is None else msgspec.json.decode(usage, type=Usage),
    )


def _addressed(session: Session, end: ChildFinished, path: str) -> str:
    return session.payloads.event(msgspec.structs.replace(end, path=path))
