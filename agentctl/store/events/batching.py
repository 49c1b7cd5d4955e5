"""Events that are being gathered by `debounce` and `batch`: one row a pile, and which of the kept events lie on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from agentctl.core.batching import Batch, add, take
from agentctl.ports import Admission, Gather, Gathered
from agentctl.store.db.session import Session
from agentctl.store.events.offers import event_of
from agentctl.store.runs.create import NewRow, create_runs
from agentctl.store.runs.payloads import Payloads

_PILE = "SELECT id, oldest, newest, count, seconds, size FROM piles WHERE name = ? AND trigger = ? AND grp = ?"
_PUT = """
INSERT INTO piles (name, trigger, grp, oldest, newest, count, seconds, size, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name, trigger, grp) DO UPDATE SET oldest = excluded.oldest, newest = excluded.newest, count = excluded.count,
    seconds = excluded.seconds, size = excluded.size, due = excluded.due
"""


def gather(session: Session, event_id: str, at: float, gathers: Sequence[Gather]) -> None:
    """Put an event, which is kept already, on its piles. `at`: when it was received."""
    execute = session.connection.execute
    for wanted in gathers:
        place = wanted.name, wanted.trigger, wanted.group
        row = execute(_PILE, place).fetchone()
        _put(session, place, add(None if row is None else Batch(*row[1:]), at, wanted.seconds, wanted.size))
        number = execute(_PILE, place).fetchone()[0]
        if wanted.size is None:
            execute("DELETE FROM piled WHERE pile = ?", (number,))
        execute(
            "INSERT INTO piled (pile, event, depth) SELECT ?, seq, ? FROM events WHERE id = ?", (number, wanted.depth, event_id)
        )


def _put(session: Session, place: tuple[str, int, str], pile: Batch) -> None:
    values = pile.oldest, pile.newest, pile.count, pile.seconds, pile.size, pile.due
    session.connection.execute(_PUT, (*place, *values))


class ReleaseGathered(msgspec.Struct, frozen=True):
    """See `Store.release_gathered`. `row`: the run, as text."""

    gathered: Gathered
    row: NewRow | None

    def perform(self, session: Session) -> Admission | None:
        gathered = self.gathered
        place = gathered.name, gathered.trigger, gathered.group
        row = session.connection.execute(_PILE, place).fetchone()
        if row is None:
            return None
        number, pile = row[0], Batch(*row[1:])
        if _revision(session.connection, number, pile) != gathered.revision:
            return None
        session.connection.execute(
            "DELETE FROM piled WHERE pile = ?1 AND event IN (SELECT event FROM piled WHERE pile = ?1 ORDER BY event LIMIT ?2)",
            (number, len(gathered.events)),
        )
        following = session.connection.execute(_EVENTS, (number, 1)).fetchone()
        left = take(pile, len(gathered.events), None if following is None else following[3])
        if left is None:
            session.connection.execute("DELETE FROM piles WHERE id = ?", (number,))
        else:
            _put(session, place, left)
        return None if self.row is None else create_runs(session, [self.row])[0]


# --- reads ---------------------------------------------------------------------------------------------------------

# Of a definition that is gone or paused nothing is due: its events lie where they are until it is back.
_TRIGGERED = "JOIN deployments d ON d.name = p.name AND d.gone = 0 AND d.paused_at IS NULL"
DUE = f"""
SELECT p.id, p.name, p.trigger, p.grp, p.oldest, p.newest, p.count, p.seconds, p.size FROM piles p {_TRIGGERED}
    WHERE p.due <= ? ORDER BY p.due, p.id
"""
NEXT_DUE = f"SELECT p.due FROM piles p {_TRIGGERED} ORDER BY p.due LIMIT 1"
_EVENTS = """
SELECT e.id, e.name, e.data, e.received_at, e.headers FROM piled p JOIN events e ON e.seq = p.event
    WHERE p.pile = ? ORDER BY p.event LIMIT ?
"""
_DEPTH = "SELECT max(depth) FROM (SELECT depth FROM piled WHERE pile = ? ORDER BY event LIMIT ?)"


def due(connection: sqlite3.Connection, payloads: Payloads, now: float) -> list[Gathered]:
    found = []
    for number, name, trigger, group, *rest in connection.execute(DUE, (now,)).fetchall():
        pile = Batch(*rest)
        events = [event_of(row, payloads) for row in connection.execute(_EVENTS, (number, pile.ripe))]
        documents = [event.document(event.at) for event in events]
        revision = _revision(connection, number, pile)
        (depth,) = connection.execute(_DEPTH, (number, pile.ripe)).fetchone()
        found.append(
            Gathered(name=name, trigger=trigger, group=group, events=documents, revision=revision, depth=depth or 0)
        )
    return found


def next_due(connection: sqlite3.Connection) -> float | None:
    row = connection.execute(NEXT_DUE).fetchone()
    return None if row is None else row[0]


def _revision(connection: sqlite3.Connection, number: int, pile: Batch) -> int:
    """The number of the event that decides: of a debounce the newest, which every further one replaces; of a batch the oldest."""
    which = "max" if pile.size is None else "min"
    revision: int = connection.execute(f"SELECT {which}(event) FROM piled WHERE pile = ?", (number,)).fetchone()[0]
    return revision
