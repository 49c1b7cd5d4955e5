"""Events that are being gathered by `debounce` and `batch`: one row a pile, and which of the kept events lie on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from agentctl.core.gathering import Pile, add, take
from agentctl.ports import Admission, Gather, Gathered, NewEvent
from agentctl.store.create import NewRow, create_runs
from agentctl.store.payloads import Payloads
from agentctl.store.session import Session

_PILE = "SELECT id, oldest, newest, count, seconds, size FROM piles WHERE name = ? AND trigger = ? AND grp = ?"


def gather(session: Session, event_id: str, at: float, gathers: Sequence[Gather]) -> None:
    """Put an event, which is kept already, on its piles. `at`: when it was received."""
    for wanted in gathers:
        row = session.connection.execute(_PILE, (wanted.name, wanted.trigger, wanted.group)).fetchone()
        pile = add(None if row is None else Pile(*row[1:]), at, wanted.seconds, wanted.size)
        number = _new_pile(session, wanted, pile) if row is None else row[0]
        if row is not None:
            _set_pile(session, number, pile)
        if wanted.size is None:
            session.connection.execute("DELETE FROM piled WHERE pile = ?", (number,))
        session.connection.execute("INSERT INTO piled (pile, event) SELECT ?, seq FROM events WHERE id = ?", (number, event_id))


def _new_pile(session: Session, wanted: Gather, pile: Pile) -> int:
    session.connection.execute(
        "INSERT INTO piles (name, trigger, grp, oldest, newest, count, seconds, size, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (wanted.name, wanted.trigger, wanted.group, *_columns(pile)),
    )
    return _number_of(session, wanted.name, wanted.trigger, wanted.group)


def _set_pile(session: Session, number: int, pile: Pile) -> None:
    session.connection.execute(
        "UPDATE piles SET oldest = ?, newest = ?, count = ?, seconds = ?, size = ?, due = ? WHERE id = ?",
        (*_columns(pile), number),
    )


def _columns(pile: Pile) -> tuple[float | int | None, ...]:
    return pile.oldest, pile.newest, pile.count, pile.seconds, pile.size, pile.due


def _number_of(session: Session, name: str, trigger: int, group: str) -> int:
    number: int = session.connection.execute(_PILE, (name, trigger, group)).fetchone()[0]
    return number


class ReleaseGathered(msgspec.Struct, frozen=True):
    """See `Store.release_gathered`. `row`: the run, as text."""

    gathered: Gathered
    row: NewRow | None

    def perform(self, session: Session) -> Admission | None:
        gathered = self.gathered
        row = session.connection.execute(_PILE, (gathered.name, gathered.trigger, gathered.group)).fetchone()
        if row is None:
            return None
        number, pile = row[0], Pile(*row[1:])
        if _revision(session.connection, number, pile) != gathered.revision:
            return None
        session.connection.execute(
            "DELETE FROM piled WHERE pile = ?1 AND event IN (SELECT event FROM piled WHERE pile = ?1 ORDER BY event LIMIT ?2)",
            (number, len(gathered.events)),
        )
        self._leave(session, number, pile)
        if self.row is None:
            return None
        return create_runs(session, [self.row])[0]

    def _leave(self, session: Session, number: int, pile: Pile) -> None:
        """What is left of the pile waits on."""
        following = session.connection.execute(_EVENTS, (number, 1)).fetchone()
        left = take(pile, len(self.gathered.events), None if following is None else following[3])
        if left is None:
            session.connection.execute("DELETE FROM piles WHERE id = ?", (number,))
        else:
            _set_pile(session, number, left)


# --- reads ---------------------------------------------------------------------------------------------------------

# Of a definition that is gone or paused nothing is due: its events lie where they are until it is back.
_TRIGGERED = "JOIN deployments d ON d.name = p.name AND d.gone = 0 AND d.paused_at IS NULL"
DUE = f"""
SELECT p.id, p.name, p.trigger, p.grp, p.oldest, p.newest, p.count, p.seconds, p.size FROM piles p {_TRIGGERED}
    WHERE p.due <= ? ORDER BY p.due, p.id
"""
NEXT_DUE = f"SELECT p.due FROM piles p {_TRIGGERED} ORDER BY p.due LIMIT 1"
_EVENTS = """
SELECT e.name, e.data, e.id, e.received_at FROM piled p JOIN events e ON e.seq = p.event
    WHERE p.pile = ? ORDER BY p.event LIMIT ?
"""


def due(connection: sqlite3.Connection, payloads: Payloads, now: float) -> list[Gathered]:
    found = []
    for number, name, trigger, group, *rest in connection.execute(DUE, (now,)).fetchall():
        pile = Pile(*rest)
        events = [
            NewEvent(event, payloads.read_json(data), id_, at).document(at)
            for event, data, id_, at in connection.execute(_EVENTS, (number, pile.ripe))
        ]
        revision = _revision(connection, number, pile)
        found.append(Gathered(name=name, trigger=trigger, group=group, events=events, revision=revision))
    return found


def next_due(connection: sqlite3.Connection) -> float | None:
    row = connection.execute(NEXT_DUE).fetchone()
    return None if row is None else row[0]


def _revision(connection: sqlite3.Connection, number: int, pile: Pile) -> int:
    """The number of the event that decides: of a debounce the newest, which every further one replaces; of a batch the oldest."""
    which = "max" if pile.size is None else "min"
    revision: int = connection.execute(f"SELECT {which}(event) FROM piled WHERE pile = ?", (number,)).fetchone()[0]
    return revision
