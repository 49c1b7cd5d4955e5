"""Events: each kept once by its id, and offered to every wait that is open for its name.

`*` in a wait's name matches one dotted part. The waits for an event are found by seeks in the index of their names, part by
part: of ten thousand waits only those that fit are read.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from agentctl.core.events import EventOffered
from agentctl.core.instant import rfc3339
from agentctl.ports import NewEvent, Sent
from agentctl.store.mail import post
from agentctl.store.payloads import Payloads
from agentctl.store.session import Session

JSON = Any

_LAST_CHARACTER = "\U0010ffff"


class PreparedEvent(msgspec.Struct, frozen=True):
    """`data`: as text."""

    event: NewEvent
    data: str | None


def prepare_event(event: NewEvent, payloads: Payloads) -> PreparedEvent:
    """Raises StoreError when a large payload cannot be written."""
    return PreparedEvent(event, payloads.json(event.data))


class Send(msgspec.Struct, frozen=True):
    """A change of its own: an event from outside any run."""

    prepared: PreparedEvent

    def perform(self, session: Session) -> Sent:
        return record(session, self.prepared)


def record(session: Session, prepared: PreparedEvent) -> Sent:
    """Keep the event and mail it to whoever waits for it. It is received now, within the writers' lock: a run that is
    started by a commit before this one has an earlier time, so that the event counts for it."""
    event = prepared.event
    received_at = max(event.at, time.time())
    kept = session.connection.execute(
        "INSERT INTO events (id, name, data, received_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        (event.id, event.name, prepared.data, received_at),
    ).rowcount
    if not kept:
        return Sent(duplicate=True, delivered=[])
    waits = waits_for(session.connection, event.name)
    document = _document(event.id, event.name, event.data, received_at)
    post(session, [(run_id, _offer(session, document, received_at, path, kept=False)) for run_id, path in waits])
    return Sent(duplicate=False, delivered=list(dict.fromkeys(run_id for run_id, _ in waits)))


FITTING_WAITS = """
SELECT r.id, w.path FROM json_each(?) p
    CROSS JOIN waits w ON w.name = p.value AND w.kind = 'event'
    CROSS JOIN runs r ON r.key = w.run
"""
ANY_WAIT_BETWEEN = "SELECT 1 FROM waits WHERE kind = 'event' AND name >= ? AND name < ? LIMIT 1"


def waits_for(connection: sqlite3.Connection, name: str) -> list[tuple[str, str]]:
    """(run id, path) of every wait that is open for an event of that name."""
    names = msgspec.json.encode(_patterns(connection, name)).decode()
    return connection.execute(FITTING_WAITS, (names,)).fetchall()


def _patterns(connection: sqlite3.Connection, name: str) -> list[str]:
    """The names under which a wait may be open for the event: each part as it is or `*`, as far as any wait begins so."""
    *parts, last = name.split(".")
    beginnings = [""]
    for part in parts:
        longer = [f"{beginning}{form}." for beginning in beginnings for form in (part, "*")]
        beginnings = [text for text in longer if connection.execute(ANY_WAIT_BETWEEN, (text, text + _LAST_CHARACTER)).fetchone()]
    return [beginning + form for beginning in beginnings for form in (last, "*")]


def offer_kept(session: Session, run_id: str, path: str, name: str, since: float, taken: Collection[str]) -> None:
    """Mail the events of that name that came since then, in the order in which they came, but for those `taken`."""
    offers = []
    for id_, event_name, data, received_at in _kept(session.connection, name, since):
        if id_ not in taken:
            document = _document(id_, event_name, session.payloads.read_json(data), received_at)
            offers.append((run_id, _offer(session, document, received_at, path, kept=True)))
    post(session, offers)


EVENTS_BETWEEN = """
SELECT id, name, data, received_at FROM events
    WHERE name >= ? AND name < ? AND received_at >= ? ORDER BY seq
"""
EVENTS_NAMED = "SELECT id, name, data, received_at FROM events WHERE name = ? AND received_at >= ? ORDER BY seq"


def _kept(connection: sqlite3.Connection, name: str, since: float) -> Iterator[tuple[str, str, str | None, float]]:
    parts = name.split(".")
    if "*" not in parts:
        yield from connection.execute(EVENTS_NAMED, (name, since))
        return
    beginning = "".join(f"{part}." for part in parts[: parts.index("*")])
    fits = re.compile(r"\.".join("[^.]+" if part == "*" else re.escape(part) for part in parts))
    for row in connection.execute(EVENTS_BETWEEN, (beginning, beginning + _LAST_CHARACTER, since)):
        if fits.fullmatch(row[1]):
            yield row


def _document(id_: str, name: str, data: JSON, received_at: float) -> dict[str, JSON]:
    """The event as expressions see it (LANGUAGE section 3)."""
    return {"name": name, "data": data, "id": id_, "received_at": rfc3339(received_at)}


def _offer(session: Session, document: dict[str, JSON], at: float, path: str, *, kept: bool) -> str:
    return session.payloads.event(EventOffered(at=at, path=path, event=document, kept=kept))
