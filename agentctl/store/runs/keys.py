"""Results recorded under a key, and the queue of steps that want one: `idempotency_key` and `cache`.

A step of a definition's name and place in it asks for a key. A recorded result is handed over; else the first to ask holds
the claim and runs, and later ones wait in the queue behind it. Every answer is mail, written in the very commit of the question
or of what settles it, so neither a crash nor another process can come between.

    find ──result──> ResultFound          keep:      result recorded, everything in the queue gets it
         ──free───> claim, ResultMissing  give back: the next in the queue holds the claim, ResultMissing
         ──held───> in the queue

A claim outlives its process: the run that holds it can be resumed, and no other run may do the work until it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from agentctl.core.commands import LookupResult, ReleaseClaim, StoreResult
from agentctl.core.events import ResultFound, ResultMissing
from agentctl.ports import KeyOrder
from agentctl.store.db.session import Session
from agentctl.store.runs.mail import post
from agentctl.store.runs.payloads import Payloads

LONGEST_KEY = 200  # characters; a longer one is known by its hash


class PreparedOrder(msgspec.Struct, frozen=True):
    """A KeyOrder as text. `output`, and `ttl` in seconds: of the result to keep."""

    order: KeyOrder
    key: str
    output: str | None
    ttl: float | None


def prepare_orders(orders: Sequence[KeyOrder], payloads: Payloads) -> list[PreparedOrder]:
    """Raises StoreError when a large output cannot be written."""
    return [
        PreparedOrder(
            order=order,
            key=_short(order.key),
            output=payloads.json(order.output) or "null" if isinstance(order, StoreResult) else None,
            ttl=order.ttl if isinstance(order, StoreResult) else None,
        )
        for order in orders
    ]


def _short(key: str) -> str:
    return key if len(key) <= LONGEST_KEY else f"sha256:{sha256(key.encode()).hexdigest()}"


def order_results(session: Session, run: int, run_id: str, at: float, orders: Sequence[PreparedOrder]) -> None:
    """Carry out what one run's commit asks for. `run`: its key.  `at`: the driver's clock."""
    (name,) = session.connection.execute("SELECT name FROM runs WHERE key = ?", (run,)).fetchone()
    for prepared in orders:
        order = prepared.order
        if isinstance(order, LookupResult):
            _find(session, (name, order.step, prepared.key), run, run_id, at, order)
        elif isinstance(order, StoreResult):
            _keep(session, (name, order.step, prepared.key), run, run_id, at, order.path, prepared)
        elif isinstance(order, ReleaseClaim):
            _leave(session, run, order.path, at)
        else:
            session.connection.execute(
                "DELETE FROM results WHERE name = ? AND step = ? AND key = ? AND run = ? AND path = ?",
                (name, order.step, prepared.key, run_id, order.path),
            )


def leave_queue(session: Session, run: int, paths: Sequence[str]) -> None:
    """These steps of a run wait no more for somebody else's result. A claim is not given up by this."""
    session.connection.executemany("DELETE FROM claims WHERE run = ? AND path = ? AND NOT held", [(run, path) for path in paths])


Place = tuple[str, str, str]  # name of the definition, place of the step in it, key
_AT = "name = ? AND step = ? AND key = ?"


def _find(session: Session, place: Place, run: int, run_id: str, at: float, order: LookupResult) -> None:
    """Asked again (its driver died), it stands where it stood."""
    found = session.connection.execute(f"SELECT output, run, path, at FROM results WHERE {_AT}", place).fetchone()
    if found is not None and (order.ttl is None or at - found[3] < order.ttl):
        _leave(session, run, order.path, at)
        _hand_over(session, [(run_id, order.path)], at, found[0], f"{found[1]}/{found[2]}")
        return
    stands = session.connection.execute(
        "SELECT name, step, key FROM claims WHERE run = ? AND path = ?", (run, order.path)
    ).fetchone()
    if stands is not None and stands != place:
        _leave(session, run, order.path, at)
    session.connection.execute(
        "INSERT OR IGNORE INTO claims (name, step, key, run, path, held) VALUES (?, ?, ?, ?, ?,"
        f" NOT EXISTS (SELECT 1 FROM claims WHERE {_AT} AND held))",
        (*place, run, order.path, *place),
    )
    (held,) = session.connection.execute("SELECT held FROM claims WHERE run = ? AND path = ?", (run, order.path)).fetchone()
    if held:
        post(session, [(run_id, session.payloads.event(ResultMissing(at=at, path=order.path)))])


def _keep(session: Session, place: Place, run: int, run_id: str, at: float, path: str, prepared: PreparedOrder) -> None:
    until = None if prepared.ttl is None else at + prepared.ttl
    session.connection.execute(
        "INSERT OR REPLACE INTO results (name, step, key, run, path, output, at, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*place, run_id, path, prepared.output, at, until),
    )
    session.connection.execute("DELETE FROM claims WHERE run = ? AND path = ?", (run, path))
    waiting = session.connection.execute(
        f"SELECT runs.id, c.path FROM claims c JOIN runs ON runs.key = c.run WHERE {_AT_C} AND NOT c.held ORDER BY c.id", place
    ).fetchall()
    if waiting:
        _hand_over(session, waiting, at, prepared.output, f"{run_id}/{path}")
        session.connection.execute(f"DELETE FROM claims WHERE {_AT} AND NOT held", place)


_AT_C = "c.name = ? AND c.step = ? AND c.key = ?"


def _leave(session: Session, run: int, path: str, at: float) -> None:
    """Leave the queue; the next one behind a claim holds it now."""
    row = session.connection.execute(
        "SELECT id, name, step, key, held FROM claims WHERE run = ? AND path = ?", (run, path)
    ).fetchone()
    if row is None:
        return
    number, *place, held = row
    session.connection.execute("DELETE FROM claims WHERE id = ?", (number,))
    if not held:
        return
    following = session.connection.execute(
        f"SELECT c.id, runs.id, c.path FROM claims c JOIN runs ON runs.key = c.run WHERE {_AT_C} ORDER BY c.id LIMIT 1", place
    ).fetchone()
    if following is not None:
        number, run_id, next_path = following
        session.connection.execute("UPDATE claims SET held = 1 WHERE id = ?", (number,))
        post(session, [(run_id, session.payloads.event(ResultMissing(at=at, path=next_path)))])


def _hand_over(session: Session, waiting: Sequence[tuple[str, str]], at: float, output: str | None, source: str) -> None:
    value = session.payloads.read_json(output)
    found = [(run_id, ResultFound(at=at, path=path, output=value, source=source)) for run_id, path in waiting]
    post(session, [(run_id, session.payloads.event(event)) for run_id, event in found])


def awaited(connection: sqlite3.Connection, run_id: str) -> dict[str, str]:
    """See `Store.awaited_results`."""
    return {path: f"{holder}/{at}" for path, holder, at in connection.execute(_AWAITED, (run_id,))}


_AWAITED = """
SELECT c.path, holders.id, h.path FROM claims c JOIN runs ON runs.key = c.run
JOIN claims h ON h.name = c.name AND h.step = c.step AND h.key = c.key AND h.held
JOIN runs holders ON holders.key = h.run
WHERE runs.id = ? AND NOT c.held
"""
