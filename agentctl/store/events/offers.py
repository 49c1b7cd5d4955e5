"""Offer events to the steps that wait for them: a few at a time, each wait from its own cursor.

An event is offered by mail. While an offer is pending, later events stay behind the wait's cursor. When the run has consumed the
offer and the wait is still open (its `if` refused), the next offer follows in the same commit, with twice as many events. So a
run that takes every event costs one mail for each, however many are waiting.

    open ──> offer 1 ──refused──> offer 2 ──refused──> offer 4 ... offer MOST
                 └──taken──> the wait closes; the next wait for that name begins behind the events that the run took
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from agentctl import JSON
from agentctl.core.events import EventOffered
from agentctl.language.event_names import event_matches
from agentctl.ports import NewEvent
from agentctl.store.db.connection import array
from agentctl.store.db.session import Session
from agentctl.store.events.patterns import LAST_CHARACTER, matching
from agentctl.store.runs.mail import post
from agentctl.store.runs.payloads import Payloads

MOST = 64  # events of one offer
_PAGE = 64  # rows looked at in one query

EventRow = tuple[str, str, str | None, float, str | None]  # id, name, data, received_at, headers


def event_of(row: EventRow, payloads: Payloads) -> NewEvent:
    """A kept event; its time is that at which it was received."""
    id_, name, data, received_at, headers = row
    return NewEvent(name, payloads.read_json(data), id_, received_at, payloads.read_json(headers))


class Listening(msgspec.Struct):
    """A wait that is open for an event. `pending`: an offer is on its way, so later events stay behind the cursor."""

    run: int
    run_id: str
    path: str
    pending: bool


FITTING_WAITS = """
SELECT w.run, r.id, w.path, w.pending IS NOT NULL FROM json_each(?) p
    CROSS JOIN waits w ON w.name = p.value AND w.kind = 'event'
    CROSS JOIN runs r ON r.key = w.run
"""
ANY_WAIT_BETWEEN = "SELECT 1 FROM waits WHERE kind = 'event' AND name >= ? AND name < ? LIMIT 1"


def waits_for(connection: sqlite3.Connection, name: str) -> list[Listening]:
    """Every wait that is open for an event of that name."""
    names = matching(connection, name, ANY_WAIT_BETWEEN)
    if not names:
        return []
    rows = connection.execute(FITTING_WAITS, (array(names),)).fetchall()
    return [Listening(run, run_id, path, bool(pending)) for run, run_id, path, pending in rows]


def offer_new(session: Session, event: NewEvent, seq: int, waits: Sequence[Listening]) -> None:
    """Offer an event that has just been kept to the waits that have no offer pending."""
    ready = [wait for wait in waits if not wait.pending]
    if not ready:
        return
    document = event.document(event.at)
    post(session, [(wait.run_id, _offer(session, document, event.at, wait.path, kept=False)) for wait in ready])
    first = _last_mail(session.connection) - len(ready) + 1
    session.write_rows(
        "UPDATE waits SET cursor = v.column3, offered = 1, pending = v.column4 FROM (VALUES ",
        [(wait.run, wait.path, seq, number) for number, wait in enumerate(ready, first)],
        ") v WHERE waits.run = v.column1 AND waits.path = v.column2",
    )
    for wait in ready:
        wait.pending = True


def _last_mail(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT max(id) FROM mail").fetchone()[0]
    return number


def _offer(session: Session, document: dict[str, JSON], at: float, path: str, *, kept: bool) -> str:
    return session.payloads.event(EventOffered(at=at, path=path, event=document, kept=kept))


# --- the backlog ---------------------------------------------------------------------------------------------------


class _Backlog(msgspec.Struct):
    """The events behind the cursor of one wait. `opened`: the newest event when the wait opened."""

    run: int
    run_id: str
    path: str
    name: str
    since: float
    opened: int
    cursor: int


def take(session: Session, run: int, event_ids: Sequence[str]) -> None:
    """Waits of this run (by key) took these events: no later wait of the run is offered one of them."""
    session.connection.execute(
        "INSERT OR IGNORE INTO taken (run, event) SELECT ?, e.seq FROM json_each(?) v CROSS JOIN events e ON e.id = v.value",
        (run, array(event_ids)),
    )


def begin(session: Session, run: int, run_id: str, path: str, name: str, since: float) -> int:
    """Offer the first event that was kept for a wait that has just opened; returns how many there are (0 or 1)."""
    newest = _newest(session.connection)
    known = session.connection.execute(
        "SELECT cursor FROM wait_starts WHERE run = ? AND name = ? AND since <= ?", (run, name, since)
    ).fetchone()
    start = _before_first(session.connection, name, since, newest) if known is None else known[0]
    backlog = _Backlog(run, run_id, path, name, since, newest, start)
    offered = _advance(session, backlog, 1)
    # What is between the start and the offer was taken or does not fit: no later wait has to look at it again.
    clear = backlog.cursor - 1 if offered else backlog.cursor
    if known is None or clear > start:
        session.connection.execute(
            "INSERT OR REPLACE INTO wait_starts (run, name, since, cursor) VALUES (?, ?, ?, ?)", (run, name, since, clear)
        )
    return offered


def resume(session: Session, run: int, run_id: str, consumed: Sequence[int]) -> int:
    """The run has consumed this mail: make the next offer to those of its waits that are still open. Returns its size."""
    rows = session.connection.execute(REFUSED, (run, array(consumed))).fetchall()
    return sum(
        _advance(session, _Backlog(run, run_id, path, name, since, opened, cursor), min(MOST, offered * 2))
        for path, name, since, opened, cursor, offered in rows
    )


REFUSED = """
SELECT path, name, kept_since, opened, cursor, offered FROM waits
    WHERE run = ? AND kind = 'event' AND pending IN (SELECT value FROM json_each(?))
"""


def _advance(session: Session, backlog: _Backlog, most: int) -> int:
    """Move the cursor over the next events that fit, and offer them; returns how many."""
    offers: list[tuple[str, str]] = []
    for seq, row, fits in _behind(session.connection, backlog, most):
        backlog.cursor = seq
        if fits:
            event, kept = event_of(row, session.payloads), seq <= backlog.opened
            offers.append((backlog.run_id, _offer(session, event.document(event.at), event.at, backlog.path, kept=kept)))
            if len(offers) == most:
                break
    else:
        backlog.cursor = _newest(session.connection)
    post(session, offers)
    pending = _last_mail(session.connection) if offers else None
    session.connection.execute(
        "UPDATE waits SET opened = ?, cursor = ?, offered = ?, pending = ? WHERE run = ? AND path = ?",
        (backlog.opened, backlog.cursor, len(offers), pending, backlog.run, backlog.path),
    )
    return len(offers)


_COLUMNS = """
seq, EXISTS (SELECT 1 FROM taken t WHERE t.run = ?1 AND t.event = events.seq), id, name, data, received_at, headers
"""
NAMED = f"SELECT {_COLUMNS} FROM events INDEXED BY events_in_order WHERE name = ?2 AND seq > ?3 ORDER BY seq LIMIT ?4"
BETWEEN = f"SELECT {_COLUMNS} FROM events NOT INDEXED WHERE seq > ?3 AND name >= ?2 AND name < ?5 ORDER BY seq LIMIT ?4"


def _behind(connection: sqlite3.Connection, backlog: _Backlog, most: int) -> Iterator[tuple[int, EventRow, bool]]:
    """The events behind the cursor in their order, and whether each is to be offered. Read in pages, the first a small one."""
    query, name, more = (BETWEEN, *_bounds(backlog.name)) if is_pattern(backlog.name) else (NAMED, backlog.name, ())
    cursor, size = backlog.cursor, most
    while True:
        rows = connection.execute(query, (backlog.run, name, cursor, size, *more)).fetchall()
        for seq, taken, *row in rows:
            is_known = taken and seq <= backlog.opened
            yield seq, tuple(row), not is_known and row[3] >= backlog.since and event_matches(backlog.name, row[1])
        if len(rows) < size:
            return
        cursor, size = rows[-1][0], _PAGE


def is_pattern(name: str) -> bool:
    return "*" in name.split(".")


def _bounds(pattern: str) -> tuple[str, tuple[str]]:
    """The range of names that begin as the pattern does: not before the first, and before the second."""
    parts = pattern.split(".")
    beginning = "".join(f"{part}." for part in parts[: parts.index("*")])
    return beginning, (beginning + LAST_CHARACTER,)


def _before_first(connection: sqlite3.Connection, name: str, since: float, newest: int) -> int:
    """The number before that of the first event of that name that was received since then."""
    if is_pattern(name):
        low, (high,) = _bounds(name)
        found = connection.execute(_FIRST_BETWEEN, (low, high, since)).fetchone()[0]
    else:
        found = connection.execute(_FIRST_NAMED, (name, since)).fetchone()[0]
    return newest if found is None else found - 1


_FIRST_NAMED = "SELECT min(seq) FROM events INDEXED BY events_by_name WHERE name = ? AND received_at >= ?"
_FIRST_BETWEEN = "SELECT min(seq) FROM events INDEXED BY events_by_name WHERE name >= ? AND name < ? AND received_at >= ?"


def _newest(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
    return number
