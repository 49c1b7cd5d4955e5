"""Events: each kept once by its id, offered to every wait that is open for its name, with what it starts beside it.

`*` in a wait's name matches one dotted part; of ten thousand waits only those that fit are read (see `patterns`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence

import msgspec
from msgspec import structs

from agentctl import JSON
from agentctl.core.events import EventOffered
from agentctl.language.event_names import event_matches
from agentctl.ports import NOTHING, Admission, NewEvent, NewRun, SendResult, Triggered
from agentctl.store.db.arrays import array
from agentctl.store.db.session import Session
from agentctl.store.events.batching import gather
from agentctl.store.events.kept import EventRow, event_of
from agentctl.store.events.patterns import LAST_CHARACTER, matching
from agentctl.store.runs.create import create_runs, prepare_run
from agentctl.store.runs.mail import post
from agentctl.store.runs.payloads import Payloads


class PreparedEvent(msgspec.Struct, frozen=True):
    """`data`, `headers`: as text."""

    event: NewEvent
    data: str | None
    headers: str | None
    starts: Triggered


def prepare_event(event: NewEvent, starts: Triggered, payloads: Payloads) -> PreparedEvent:
    """Raises StoreError when a large payload cannot be written."""
    return PreparedEvent(event, payloads.json(event.data), payloads.json(event.headers), starts)


class Send(msgspec.Struct, frozen=True):
    """A change of its own: an event from outside any run."""

    prepared: PreparedEvent

    def perform(self, session: Session) -> SendResult:
        return record(session, [self.prepared])[0]


def record(session: Session, prepared: Sequence[PreparedEvent]) -> list[SendResult]:
    """Keep events, mail each to whoever waits for it, and make what it starts; the answers in their order.

    They are received now, within the writers' lock: a run that is started by a commit before this one has an earlier time, so
    that the event counts for it.
    """
    now = time.time()
    fresh = _unknown(session.connection, prepared)
    received = {number: max(item.event.at, now) for number, item in fresh.items()}
    session.write_rows(
        "INSERT INTO events (id, name, data, received_at, headers) VALUES ",
        [(item.event.id, item.event.name, item.data, received[number], item.headers) for number, item in fresh.items()],
    )
    waits = {name: waits_for(session.connection, name) for name in {item.event.name for item in fresh.values()}}
    answers = [SendResult(duplicate=True, delivered=[]) for _ in prepared]
    for number, item in fresh.items():
        answers[number] = _hand_out(session, item, received[number], waits[item.event.name])
    return answers


def _hand_out(session: Session, item: PreparedEvent, received_at: float, waits: Sequence[tuple[str, str]]) -> SendResult:
    """A kept event to those who wait for it, and to those whom it starts."""
    if not waits and item.starts is NOTHING:
        return SendResult(duplicate=False, delivered=[])
    starts, document = item.starts, item.event.document(received_at)
    post(session, [(run_id, _offer(session, document, received_at, path, kept=False)) for run_id, path in waits])
    gather(session, item.event.id, received_at, starts.gather)
    return SendResult(
        duplicate=False,
        delivered=list(dict.fromkeys(run_id for run_id, _ in waits)),
        started=_start(session, starts.runs, document),
        gathered=[wanted.name for wanted in starts.gather],
    )


def _unknown(connection: sqlite3.Connection, prepared: Sequence[PreparedEvent]) -> dict[int, PreparedEvent]:
    """By their number: those whose ids were never seen, in the store or before them in the list."""
    ids = array(item.event.id for item in prepared)
    known = {row[0] for row in connection.execute("SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?))", (ids,))}
    first: dict[str, int] = {}
    for number, item in enumerate(prepared):
        first.setdefault(item.event.id, number)
    return {number: prepared[number] for id_, number in first.items() if id_ not in known}


def _start(session: Session, runs: Sequence[NewRun], document: dict[str, JSON]) -> list[Admission]:
    """Each with the event as it is kept: who made the runs could not know when it would be received."""
    if not runs:
        return []
    told = [structs.replace(run, created=structs.replace(run.created, event=document)) for run in runs]
    return create_runs(session, [prepare_run(run, session.payloads) for run in told])


FITTING_WAITS = """
SELECT r.id, w.path FROM json_each(?) p
    CROSS JOIN waits w ON w.name = p.value AND w.kind = 'event'
    CROSS JOIN runs r ON r.key = w.run
"""
ANY_WAIT_BETWEEN = "SELECT 1 FROM waits WHERE kind = 'event' AND name >= ? AND name < ? LIMIT 1"


def waits_for(connection: sqlite3.Connection, name: str) -> list[tuple[str, str]]:
    """(run id, path) of every wait that is open for an event of that name."""
    names = matching(connection, name, ANY_WAIT_BETWEEN)
    return connection.execute(FITTING_WAITS, (array(names),)).fetchall() if names else []


def offer_kept(session: Session, run_id: str, path: str, name: str, since: float, taken: Collection[str]) -> None:
    """Mail the events of that name that came since then, in the order in which they came, but for those `taken`."""
    offers = []
    for row in _kept(session.connection, name, since):
        event = event_of(row, session.payloads)
        if event.id not in taken:
            offers.append((run_id, _offer(session, event.document(event.at), event.at, path, kept=True)))
    post(session, offers)


EVENTS_BETWEEN = """
SELECT id, name, data, received_at, headers FROM events
    WHERE name >= ? AND name < ? AND received_at >= ? ORDER BY seq
"""
EVENTS_NAMED = "SELECT id, name, data, received_at, headers FROM events WHERE name = ? AND received_at >= ? ORDER BY seq"


def _kept(connection: sqlite3.Connection, name: str, since: float) -> Iterator[EventRow]:
    parts = name.split(".")
    if "*" not in parts:
        yield from connection.execute(EVENTS_NAMED, (name, since))
        return
    beginning = "".join(f"{part}." for part in parts[: parts.index("*")])
    for row in connection.execute(EVENTS_BETWEEN, (beginning, beginning + LAST_CHARACTER, since)):
        if event_matches(name, row[1]):
            yield row


def _offer(session: Session, document: dict[str, JSON], at: float, path: str, *, kept: bool) -> str:
    return session.payloads.event(EventOffered(at=at, path=path, event=document, kept=kept))
