"""Rows of new runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from agentctl.core.events import Parent
from agentctl.core.flow import Limits
from agentctl.ports import Admission, NewRun
from agentctl.store.db.connection import array
from agentctl.store.db.session import Session
from agentctl.store.limits.admission import Newcomer, arrive
from agentctl.store.runs.mail import await_key
from agentctl.store.runs.payloads import Payloads


class NewRow(msgspec.Struct, frozen=True):
    """A run to create, as text. `columns` are those of `_INSERT` after the key."""

    id: str
    columns: tuple[Any, ...]
    line: str
    awaiter: Parent | None
    resumed: bool
    at: float
    limits: Limits


def prepare_run(run: NewRun, payloads: Payloads, *, resumed: bool = False) -> NewRow:
    """Raises StoreError when a large payload cannot be written."""
    created = run.created
    parent = created.parent
    return NewRow(
        id=created.run_id,
        columns=(
            created.run_id,
            created.name,
            created.kind,
            created.version,
            created.trigger,
            *((None, None, None) if parent is None else (parent.run_id, parent.path, parent.depth)),
            created.at,
            payloads.json(created.input),
            payloads.json(created.event),
        ),
        line=payloads.event(created),
        awaiter=parent if run.awaited else None,
        resumed=resumed,
        at=created.at,
        limits=run.limits,
    )


_INSERT = """
INSERT INTO runs (key, id, name, kind, version, trigger, parent, parent_path, parent_depth, created_at, input, event,
    status, head, owner, in_line)
VALUES """
_AWAIT = "INSERT OR IGNORE INTO awaiters (target, run, path) SELECT v.column1, r.key, v.column3 FROM (VALUES "
_NO_LIMITS = Limits()


def create_runs(session: Session, runs: Sequence[NewRow], owner: str | None = None) -> list[Admission]:
    """Create the runs that do not exist and that their limits admit, each with its first event; record which runs await them.

    `owner`: for whom they are reserved.
    """
    ids = array(run.id for run in runs)
    keys: dict[str, int] = dict(
        session.connection.execute("SELECT id, key FROM runs WHERE id IN (SELECT value FROM json_each(?))", (ids,)).fetchall()
    )
    key: int = session.connection.execute("SELECT coalesce(max(key), 0) FROM runs").fetchone()[0]
    rows: list[tuple[Any, ...]] = []
    lines, awaiters, admissions = [], [], []
    for run in runs:
        if run.id in keys:
            admissions.append(Admission(run.id, "duplicate", f"there is a run {run.id} already"))
            if run.awaiter is not None:
                await_key(session, keys[run.id], run.awaiter.run_id, run.awaiter.path, resumed=run.resumed)
            continue
        in_line = None
        if run.limits != _NO_LIMITS:
            session.write_rows(_INSERT, rows)  # those before it count
            rows.clear()
            decided, stands = arrive(session, Newcomer(key + 1, run.id, run.at, run.limits, run.awaiter))
            if decided.outcome != "create":
                admissions.append(Admission(decided.run_id, decided.outcome, decided.reason))
                continue
            in_line = 1 if stands else None
        key += 1
        keys[run.id] = key
        rows.append((key, *run.columns, "queued", 1, owner, in_line))
        lines.append((key, 1, run.line))
        admissions.append(Admission(run.id, "created"))
        if run.awaiter is not None:
            awaiters.append((key, run.awaiter.run_id, run.awaiter.path))
    session.write_rows(_INSERT, rows)
    session.write_rows("INSERT INTO journal (run, seq, event) VALUES ", lines)
    session.write_rows(_AWAIT, awaiters, ") v CROSS JOIN runs r WHERE r.id = v.column2")
    return admissions
