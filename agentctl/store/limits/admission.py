"""A new run meets its limits: the rows behind `core.flow.arrival`."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
from msgspec import structs

from agentctl.core.events import CancelRequested, Parent
from agentctl.core.flow import AdmissionDecision, Limits, LimitState, Place, arrival, keeps_place
from agentctl.store.db.connection import array
from agentctl.store.db.session import Session
from agentctl.store.runs.mail import post

FIRST = "SELECT r.id FROM firsts f JOIN runs r ON r.key = f.run WHERE f.grp = ? AND f.until > ?"
RATE_ENDS = "SELECT until FROM starts WHERE grp = ? AND until > ? AND at <= ?"
MEMBERS = """
SELECT r.key, r.id, r.owner, r.status, p.held FROM places p JOIN runs r ON r.key = p.run
    WHERE p.grp = ?1 AND p.held = 0 AND p.leaving = 0
UNION ALL
SELECT r.key, r.id, r.owner, r.status, p.held FROM places p JOIN runs r ON r.key = p.run
    WHERE p.grp = ?1 AND p.held = 1 AND p.leaving = 0
ORDER BY 1
"""


class Newcomer(msgspec.Struct, frozen=True):
    """A run about to be created. `parent`: of a run that is awaited by it."""

    key: int
    run_id: str
    at: float
    limits: Limits
    parent: Parent | None


def arrive(session: Session, new: Newcomer) -> tuple[AdmissionDecision, bool]:
    """What becomes of it; when there is to be a run, its limits are kept. True: it waits in the queue."""
    limits = new.limits
    if new.parent is not None and limits.places:
        limits = structs.replace(limits, places=_not_held_above(session.connection, limits.places, new.parent))
    decided = arrival(limits, _met(session, limits, new.at), new.at)
    if decided.outcome != "create":
        return decided, False
    _count(session, new, limits)
    _end(session, new, limits, decided.cancel)
    return decided, _enqueue(session, new.key, limits)


def _met(session: Session, limits: Limits, now: float) -> LimitState:
    connection = session.connection
    first = None if limits.dedupe is None else connection.execute(FIRST, (limits.dedupe.group, now)).fetchone()
    rate = limits.rate_limit
    return LimitState(
        first=None if first is None else first[0],
        rate_ends=() if rate is None else [row[0] for row in connection.execute(RATE_ENDS, (rate.group, now, now))],
        members={place.group: _members(session, place) for place in limits.places if place.on_limit != "queue"},
    )


def _members(session: Session, place: Place) -> list[str]:
    """The unfinished runs of a group. `skip` does not count a run whose process died and that nothing will drive on."""
    rows = session.connection.execute(MEMBERS, (place.group,)).fetchall()
    if place.on_limit == "skip":
        attended = session.executor.liveness().attended
        rows = [row for row in rows if keeps_place(row[3], attended(row[2]))]
    return [row[1] for row in rows]


HELD_ABOVE = """
WITH RECURSIVE above (run, parent) AS (
    SELECT key, parent FROM runs WHERE id = ?
    UNION ALL
    SELECT r.key, r.parent FROM above CROSS JOIN runs r ON r.id = above.parent
        WHERE EXISTS (SELECT 1 FROM awaiters w WHERE w.target = above.run AND w.run = r.key)
)
SELECT DISTINCT p.grp FROM above CROSS JOIN places p ON p.run = above.run WHERE p.held IS NOT NULL AND p.per IS NULL
"""


def _not_held_above(connection: sqlite3.Connection, places: tuple[Place, ...], parent: Parent) -> tuple[Place, ...]:
    """Those that no run has which waits for this one: it runs within that place, else both would wait for ever."""
    held = {row[0] for row in connection.execute(HELD_ABOVE, (parent.run_id,))}
    return tuple(place for place in places if place.group not in held)


def _count(session: Session, new: Newcomer, limits: Limits) -> None:
    """The start, for `rate_limit` and `dedupe`; what does not count any more goes."""
    rate, once = limits.rate_limit, limits.dedupe
    if rate is not None:
        session.connection.execute("DELETE FROM starts WHERE until <= ?", (new.at,))
        session.connection.execute(
            "INSERT INTO starts (grp, at, until) VALUES (?, ?, ?)", (rate.group, new.at, new.at + rate.per)
        )
    if once is not None:
        session.connection.execute("DELETE FROM firsts WHERE until <= ?", (new.at,))
        session.connection.execute(
            "INSERT INTO firsts (grp, run, until) VALUES (?, ?, ?)", (once.group, new.key, new.at + once.seconds)
        )


def _end(session: Session, new: Newcomer, limits: Limits, run_ids: tuple[str, ...]) -> None:
    if not run_ids:
        return
    reason = f"run {new.run_id} was started, and takes its place"
    text = session.payloads.event(CancelRequested(at=new.at, reason=reason))
    post(session, [(run_id, text) for run_id in run_ids])
    session.connection.execute(
        "UPDATE places SET leaving = 1 WHERE run IN (SELECT r.key FROM json_each(?) v CROSS JOIN runs r ON r.id = v.value)",
        (array(run_ids),),
    )


def _enqueue(session: Session, key: int, limits: Limits) -> bool:
    rank = -limits.priority
    rows: list[tuple[Any, ...]] = [(key, place.group, place.limit, None, rank, 0) for place in limits.places]
    if limits.throttle is not None:
        rows.append((key, limits.throttle.group, limits.throttle.limit, limits.throttle.per, rank, 0))
    session.write_rows("INSERT INTO places (run, grp, capacity, per, rank, held) VALUES ", rows)
    return bool(rows)
