"""What is to be done for runs: their mail, and which of them can be driven now. Read on a connection of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from agentctl.errors import PayloadUnreadable
from agentctl.ports import Mail
from agentctl.store.db.connection import array
from agentctl.store.limits.queue import heads, next_opening
from agentctl.store.runs.executors import Liveness
from agentctl.store.runs.payloads import Payloads
from agentctl.store.runs.reads import owners


def mail(connection: sqlite3.Connection, payloads: Payloads, run_ids: Sequence[str]) -> list[Mail]:
    ids = array(run_ids)
    rows = connection.execute(
        "SELECT m.id, r.id, m.event FROM mail m JOIN runs r ON r.key = m.run"
        " WHERE r.id IN (SELECT value FROM json_each(?)) ORDER BY m.id",
        (ids,),
    ).fetchall()
    if len(run_ids) == 1:
        return [Mail(number, run_id, payloads.read_event(text)) for number, run_id, text in rows]
    found = []
    for number, run_id, text in rows:
        with suppress(PayloadUnreadable):  # asking for the mail of that run alone raises it
            found.append(Mail(number, run_id, payloads.read_event(text)))
    return found


def mailed(connection: sqlite3.Connection, after: int) -> list[tuple[int, str]]:
    """By the primary key alone: the cost is of the news, not of the runs that wait."""
    return connection.execute(
        "SELECT m.id, r.id FROM mail m JOIN runs r ON r.key = m.run WHERE m.id > ? ORDER BY m.id", (after,)
    ).fetchall()


# INDEXED BY: these two indexes hold nothing but candidates; the planner, which has no statistics, would take the one by status.
_DUE = """
SELECT id FROM (
    SELECT * FROM (SELECT id, created_at, key FROM runs INDEXED BY runs_free
        WHERE owner IS NULL AND status IN ('queued', 'running', 'interrupted') AND in_line IS NOT 1
        ORDER BY created_at, key LIMIT :limit)
    UNION
    SELECT * FROM (SELECT id, created_at, key FROM runs INDEXED BY runs_asleep
        WHERE owner IS NULL AND status IN ('waiting', 'blocked') AND wake_at IS NOT NULL AND wake_at <= :now
        ORDER BY wake_at LIMIT :limit)
    UNION
    SELECT id, created_at, key FROM runs WHERE key IN (SELECT run FROM mail)
        AND (owner IS NULL OR owner IN (SELECT value FROM json_each(:dead)))
    UNION
    SELECT id, created_at, key FROM runs
        WHERE owner IN (SELECT value FROM json_each(:dead)) AND finished_at IS NULL AND in_line IS NOT 1
    UNION
    SELECT id, created_at, key FROM runs WHERE key IN (SELECT value FROM json_each(:heads))
        AND (owner IS NULL OR owner = :executor OR owner IN (SELECT value FROM json_each(:dead)))
) ORDER BY created_at, key LIMIT :limit
"""


def next_due(connection: sqlite3.Connection, now: float) -> float | None:
    """The earliest time at which a run without an owner is to be driven on."""
    found: float | None = connection.execute(
        "SELECT min(wake_at) FROM runs INDEXED BY runs_asleep"
        " WHERE owner IS NULL AND status IN ('waiting', 'blocked') AND wake_at IS NOT NULL"
    ).fetchone()[0]
    opens = next_opening(connection, now)
    return min((at for at in (found, opens) if at is not None), default=None)


def due(connection: sqlite3.Connection, liveness: Liveness, executor: str, now: float, limit: int) -> list[str]:
    """Oldest first. A dead owner's unfinished runs are all among them: only taking one over shows what it waited for."""
    dead = array(owners(connection, liveness, alive=False))
    first = array(heads(connection, liveness, now, limit))
    values = {"dead": dead, "executor": executor, "now": now, "limit": limit, "heads": first}
    return [row[0] for row in connection.execute(_DUE, values)]
