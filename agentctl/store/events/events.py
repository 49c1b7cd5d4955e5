"""Keep events, each once by its id; offer each to the waits that are open for its name, and create what it starts.

`*` in a wait's name matches one dotted part; of ten thousand waits only those that fit are read (see `patterns`).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

import msgspec
from msgspec import structs

from agentctl import JSON
from agentctl.ports import NOTHING, Admission, NewEvent, NewRun, SendResult, Triggered
from agentctl.store.db.connection import array
from agentctl.store.db.session import Session
from agentctl.store.events.batching import gather
from agentctl.store.events.offers import Listening, offer_new, waits_for
from agentctl.store.runs.create import create_runs, prepare_run
from agentctl.store.runs.payloads import Payloads

CONTENT = "." * 200  # no pattern has as many parts


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
    """Keep events, offer each to the waits for it, and create what it starts; returns the answers in their order.

    They are received now, within the writers' lock: a run that is started by a commit before this one has an earlier time, so
    that the event counts for it.
    """
    now = time.time()
    fresh = _unknown(session.connection, prepared)
    received = {number: max(item.event.at, now) for number, item in fresh.items()}
    rows = [(item.event.id, item.event.name, item.data, received[number], item.headers) for number, item in fresh.items()]
    # So that the content is known by its own id, too: under a name that nothing waits for.
    rows += [
        (item.event.content_id, CONTENT, None, received[number], None)
        for number, item in fresh.items()
        if item.event.content_id not in (None, item.event.id)
    ]
    session.write_rows("INSERT INTO events (id, name, data, received_at, headers) VALUES ", rows)
    waits = {name: waits_for(session.connection, name) for name in {item.event.name for item in fresh.values()}}
    answers = [SendResult(duplicate=True, delivered=[]) for _ in prepared]
    for number, item in fresh.items():
        answers[number] = _hand_out(session, item, received[number], waits[item.event.name])
    return answers


def _hand_out(session: Session, item: PreparedEvent, received_at: float, waits: Sequence[Listening]) -> SendResult:
    """Offer a kept event to the waits for it, and create what it starts."""
    if not waits and item.starts is NOTHING:
        return SendResult(duplicate=False, delivered=[])
    starts, event = item.starts, structs.replace(item.event, at=received_at)
    if waits:
        (seq,) = session.connection.execute("SELECT seq FROM events WHERE id = ?", (event.id,)).fetchone()
        offer_new(session, event, seq, waits)
    gather(session, event.id, received_at, starts.gather)
    return SendResult(
        duplicate=False,
        delivered=list(dict.fromkeys(wait.run_id for wait in waits)),
        started=_start(session, starts.runs, event.document(received_at)),
        gathered=[wanted.name for wanted in starts.gather],
    )


def _unknown(connection: sqlite3.Connection, prepared: Sequence[PreparedEvent]) -> dict[int, PreparedEvent]:
    """By their number: those whose ids were never seen, in the store or before them in the list."""
    ids = [_ids(item.event) for item in prepared]
    wanted = array(id_ for both in ids for id_ in both)
    seen = {row[0] for row in connection.execute("SELECT id FROM events WHERE id IN (SELECT value FROM json_each(?))", (wanted,))}
    fresh: dict[int, PreparedEvent] = {}
    for number, item in enumerate(prepared):
        if seen.isdisjoint(ids[number]):
            fresh[number] = item
            seen |= ids[number]
    return fresh


def _ids(event: NewEvent) -> set[str]:
    return {event.id} if event.content_id is None else {event.id, event.content_id}


def _start(session: Session, runs: Sequence[NewRun], document: dict[str, JSON]) -> list[Admission]:
    """Create each with the event as it is kept: when it would be received was not known before."""
    if not runs:
        return []
    dated = [structs.replace(run, created=structs.replace(run.created, event=document)) for run in runs]
    return create_runs(session, [prepare_run(run, session.payloads) for run in dated])
