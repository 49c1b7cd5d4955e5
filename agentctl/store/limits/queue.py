"""The queue for slots: which runs wait in it and which are admitted, the rows behind `core.flow.startable`.

A run gets its places in the commit that leases it, and gives them up in the commit that finishes it. One whose process died, with
no living process to drive it on, keeps none: it goes back into the queue as soon as another run needs its room.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from msgspec import structs

from agentctl.core.events import AnyEvent
from agentctl.core.flow import InLine, Need, in_words, is_overlap, keeps_place, named, opening, startable
from agentctl.errors import PayloadUnreadable
from agentctl.ports import QueuePosition
from agentctl.store.db.connection import array
from agentctl.store.db.session import Session
from agentctl.store.runs.executors import Liveness

_FIRST_PAGE, _PAGE = 4, 64  # rows of a queue that are read at once

HELD = "SELECT r.key, r.id, r.owner, r.status FROM places p JOIN runs r ON r.key = p.run WHERE p.grp = ? AND p.held = 1"
STARTED = "SELECT count(*) FROM starts WHERE grp = ? AND until > ? AND at <= ?"
IN_QUEUE = """
SELECT p.rank, p.run, r.owner FROM places p CROSS JOIN runs r ON r.key = p.run
    WHERE p.grp = ? AND p.held = 0 AND (p.rank, p.run) > (?, ?) AND p.leaving = 0 ORDER BY p.rank, p.run LIMIT ?
"""
NEEDS = "SELECT run, grp, capacity FROM places WHERE held = 0 AND run IN (SELECT value FROM json_each(?))"
GROUPS = """
WITH RECURSIVE queues (grp) AS (SELECT min(grp) FROM places WHERE held = 0
    UNION ALL SELECT (SELECT min(grp) FROM places WHERE held = 0 AND grp > queues.grp) FROM queues WHERE queues.grp IS NOT NULL)
SELECT grp FROM queues WHERE grp IS NOT NULL
"""


class Used(dict[str, int]):
    """How many count in a group: those that have a place in it and keep it, or that started within its time. Read when asked
    for.

    `holders`: the ids of those that have a place, of each group that was asked for.  `lost`: the keys of the runs that had one
    and have lost it.
    """

    def __init__(self, connection: sqlite3.Connection, liveness: Liveness, now: float) -> None:
        super().__init__()
        self._connection = connection
        self._liveness = liveness
        self._now = now
        self.holders: dict[str, list[str]] = {}
        self.lost: dict[str, list[int]] = {}

    def __missing__(self, group: str) -> int:
        holders, lost = self.holders[group], self.lost[group] = list[str](), list[int]()
        for key, run_id, owner, status in self._connection.execute(HELD, (group,)).fetchall():
            if keeps_place(status, self._liveness.attended(owner)):
                holders.append(run_id)
            else:
                lost.append(key)
        started: int = self._connection.execute(STARTED, (group, self._now, self._now)).fetchone()[0]
        self[group] = len(holders) + started
        return self[group]


class AdmissionQueue:
    """The queues as they are. `asked`: keys of runs that somebody is about to start; None: all of them."""

    def __init__(self, connection: sqlite3.Connection, liveness: Liveness, now: float, asked: Collection[int] | None) -> None:
        self._connection = connection
        self._liveness = liveness
        self._asked = asked
        self.used = Used(connection, liveness, now)

    def startable(self, groups: Iterable[str], last: tuple[float, int] | None = None) -> Iterator[InLine]:
        """Which runs in the queues of these groups may start, in order; none after `last`."""
        return startable({group: self.of(group, last) for group in groups}, self.used)

    def of(self, group: str, last: tuple[float, int] | None = None) -> Iterator[InLine]:
        """The queue of a group, without runs that no process would start. Read in pages: an open query would keep the log from
        being copied back."""
        after, size = (float("-inf"), 0), _FIRST_PAGE
        while True:
            rows = self._connection.execute(IN_QUEUE, (group, *after, size)).fetchall()
            ready = [(rank, key) for rank, key, owner in rows if self._is_ready(key, owner)]
            needs = needs_of(self._connection, [key for _, key in ready])
            for order in ready:
                if last is not None and order > last:
                    return
                yield InLine(*order, tuple(needs[order[1]]))
            if len(rows) < size:
                return
            after, size = rows[-1][:2], _PAGE

    def _is_ready(self, key: int, owner: str | None) -> bool:
        return self._asked is None or key in self._asked or self._liveness.attended(owner)


def needs_of(connection: sqlite3.Connection, keys: Sequence[int]) -> dict[int, list[Need]]:
    needs: dict[int, list[Need]] = {key: [] for key in keys}
    for key, group, capacity in connection.execute(NEEDS, (array(keys),)).fetchall():
        needs[key].append(Need(group, capacity))
    return needs


# --- writes --------------------------------------------------------------------------------------------------------


def admit(session: Session, liveness: Liveness, asked: Sequence[int], now: float) -> set[int]:
    """Give runs that wait in the queue, by key, their places as far as there is room; returns those that must wait."""
    connection, keys = session.connection, array(asked)
    _set_back(session, keys, now)
    admission = AdmissionQueue(connection, liveness, now, set(asked))
    groups = [row[0] for row in connection.execute(_GROUPS_OF, (keys,))]
    last = connection.execute(_LAST_OF, (keys,)).fetchone()
    waiting, admitted = set(asked), list[int]()
    needed = set[str]()
    for run in admission.startable(groups, last):
        if run.arrival in waiting:
            waiting.discard(run.arrival)
            admitted.append(run.arrival)
            needed.update(need.group for need in run.needs)
            if not waiting:
                break
    if admitted:
        _put_back(session, [(key, group) for group in needed for key in admission.used.lost.get(group, ())])
        _take_places(session, admitted, now)
    return waiting


_GROUPS_OF = "SELECT DISTINCT grp FROM places WHERE held = 0 AND run IN (SELECT value FROM json_each(?))"
_LAST_OF = """
SELECT rank, run FROM places WHERE held = 0 AND run IN (SELECT value FROM json_each(?)) ORDER BY rank DESC, run DESC LIMIT 1
"""


def _set_back(session: Session, keys: str, now: float) -> None:
    """A clock that was put back makes no run wait longer than one span: starts in the future become starts of now."""
    session.connection.execute(
        "UPDATE starts SET at = ?1, until = ?1 + until - at WHERE at > ?1 AND grp IN"
        " (SELECT grp FROM places WHERE per IS NOT NULL AND run IN (SELECT value FROM json_each(?2)))",
        (now, keys),
    )


def _put_back(session: Session, lost: Sequence[tuple[int, str]]) -> None:
    """Runs that lost their slot wait in the queue again, and need it before they continue."""
    session.connection.executemany("UPDATE places SET held = 0 WHERE run = ? AND grp = ?", lost)
    session.connection.executemany("UPDATE runs SET in_line = 1 WHERE key = ?", [(key,) for key, _ in lost])


def _take_places(session: Session, keys: Sequence[int], now: float) -> None:
    """Places from now on; of a throttle, a start that counts from now on, and once it is made from its own time on."""
    execute, runs = session.connection.execute, array(keys)
    execute("DELETE FROM starts WHERE until <= ?", (now,))
    execute(
        "INSERT INTO starts (grp, at, until, run) SELECT grp, ?1, ?1 + per, run FROM places"
        " WHERE per IS NOT NULL AND held = 0 AND run IN (SELECT value FROM json_each(?2))",
        (now, runs),
    )
    execute("UPDATE places SET held = NULL WHERE per IS NOT NULL AND run IN (SELECT value FROM json_each(?))", (runs,))
    execute("UPDATE places SET held = 1 WHERE held = 0 AND run IN (SELECT value FROM json_each(?))", (runs,))
    execute("UPDATE runs SET in_line = 0 WHERE key IN (SELECT value FROM json_each(?))", (runs,))


def began(session: Session, starts: Sequence[tuple[int, float]]) -> None:
    """These runs, by key, have started at these times. Until now a throttle counted their turn, which was a commit ago."""
    session.connection.executemany(BEGAN, starts)


BEGAN = """
UPDATE starts SET at = ?2, until = ?2 + until - at WHERE at < ?2 AND run = ?1
    AND grp IN (SELECT grp FROM places WHERE run = ?1 AND per IS NOT NULL)
"""


def leave(session: Session, keys: Sequence[int]) -> None:
    """These runs, which have limits, have finished: their places are free."""
    execute, runs = session.connection.execute, array(keys)
    execute("DELETE FROM places WHERE per IS NOT NULL AND run IN (SELECT value FROM json_each(?))", (runs,))
    execute("UPDATE places SET held = NULL, leaving = 0 WHERE run IN (SELECT value FROM json_each(?))", (runs,))
    execute("UPDATE runs SET in_line = 0 WHERE in_line = 1 AND key IN (SELECT value FROM json_each(?))", (runs,))


def mail_kinds(session: Session, keys: Sequence[int]) -> dict[int, set[type[AnyEvent]]]:
    """The kinds of the mail that these runs have."""
    kinds: dict[int, set[type[AnyEvent]]] = {}
    query = "SELECT run, event FROM mail WHERE run IN (SELECT value FROM json_each(?))"
    for key, text in session.connection.execute(query, (array(keys),)).fetchall():
        with suppress(PayloadUnreadable):  # the driver of the run reports it
            kinds.setdefault(key, set()).add(type(session.payloads.read_event(text)))
    return kinds


def return_unstarted(session: Session, keys: Sequence[int]) -> set[int]:
    """The turn of these runs had come, and whoever leased them let go, or died, before they started: for a throttle that was no
    start, and what starts now must be counted now. Returns those that wait in the queue again."""
    session.connection.execute(
        "DELETE FROM starts WHERE run IN (SELECT value FROM json_each(?1)) AND grp IN"
        " (SELECT grp FROM places WHERE per IS NOT NULL AND run IN (SELECT value FROM json_each(?1)))",
        (array(keys),),
    )
    return return_to(session, keys)


def return_to(session: Session, keys: Sequence[int]) -> set[int]:
    """These runs need the places again that they had. Returns those that wait in the queue now."""
    execute, runs = session.connection.execute, array(keys)
    execute("UPDATE places SET held = 0 WHERE held IS NULL AND run IN (SELECT value FROM json_each(?))", (runs,))
    in_line = execute("SELECT run FROM places WHERE held = 0 AND run IN (SELECT value FROM json_each(?))", (runs,))
    queued = {row[0] for row in in_line}
    execute("UPDATE runs SET in_line = 1 WHERE key IN (SELECT value FROM json_each(?))", (array(queued),))
    return queued


# --- reads ---------------------------------------------------------------------------------------------------------


def heads(connection: sqlite3.Connection, liveness: Liveness, now: float, limit: int) -> list[int]:
    """The keys of the runs in the queue that may start now, in order, whichever process would start them.

    The cost is of the groups with a queue, not of its length.
    """
    groups = [row[0] for row in connection.execute(GROUPS).fetchall()]
    return [run.arrival for run in islice(AdmissionQueue(connection, liveness, now, None).startable(groups), limit)]


HEAD = "SELECT per, capacity FROM places WHERE grp = ? AND held = 0 ORDER BY rank, run LIMIT 1"
ENDS = "SELECT until FROM starts WHERE grp = ? AND until > ? AND at <= ? ORDER BY until"


def next_opening(connection: sqlite3.Connection, now: float) -> float | None:
    """When the next of those that wait for a throttle may start, later than `now`."""
    found = []
    for (group,) in connection.execute(GROUPS).fetchall():
        per, limit = connection.execute(HEAD, (group,)).fetchone()
        if per is not None and (opens := _opening(connection, group, limit, now)) is not None:
            found.append(opens)
    return min(found, default=None)


def _opening(connection: sqlite3.Connection, group: str, limit: int, now: float) -> float | None:
    return opening([row[0] for row in connection.execute(ENDS, (group, now, now)).fetchall()], limit)


def queue_position(
    connection: sqlite3.Connection, liveness: Liveness, run_id: str, now: float, executor: str
) -> QueuePosition | None:
    """See `DueRuns.queue_position`. `executor`: the one that asks."""
    row = connection.execute("SELECT key, owner FROM runs WHERE id = ? AND in_line = 1", (run_id,)).fetchone()
    if row is None:
        return None
    return structs.replace(_obstacle(connection, liveness, row[0], now), ours=row[1] == executor)


def _obstacle(connection: sqlite3.Connection, liveness: Liveness, key: int, now: float) -> QueuePosition:
    used = Used(connection, liveness, now)
    places = connection.execute(_PLACES_OF, (key,)).fetchall()
    for group, capacity, per, _ in places:
        if used[group] < capacity:
            continue
        limit = in_words(group, capacity, per)
        if per is not None:
            return QueuePosition(reason=f"waits for its turn: {limit}", until=_opening(connection, group, capacity, now))
        holders = tuple(used.holders[group])
        if is_overlap(group):
            return QueuePosition(reason=f"waits for the end of {named(holders)}, started by the same schedule", holders=holders)
        return QueuePosition(reason=f"waits for a place: {limit} is held by {named(holders)}", holders=holders)
    for group, capacity, per, rank in places:
        ahead = sum(1 for _ in AdmissionQueue(connection, liveness, now, ()).of(group, (rank, key - 1)))
        if ahead:
            before = "1 run is" if ahead == 1 else f"{ahead} runs are"
            limit = in_words(group, capacity, per)
            return QueuePosition(reason=f"waits for its turn: {before} before it in the queue for {limit}")
    return QueuePosition(reason="")


_PLACES_OF = "SELECT grp, capacity, per, rank FROM places WHERE run = ? AND held = 0 ORDER BY per IS NOT NULL, grp"
