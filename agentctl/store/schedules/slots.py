"""The ledger of slots: what became of each slot of each schedule, one row a slot.

A row that started a run is final. One that did not may still come to start it, once: by a backfill, or when a clock that was put
back comes to the slot again. A slot's time is its identity, so it is kept in whole milliseconds, as `triggers.slots` counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from agentctl.ports import Admission, Slot, SlotRow
from agentctl.store.db.connection import array
from agentctl.store.db.session import Session
from agentctl.store.runs.create import NewRow, create_runs, prepare_run
from agentctl.store.runs.payloads import Payloads

_Place = tuple[int, int]  # id of the schedule, the slot in milliseconds


class PreparedSlot(msgspec.Struct, frozen=True):
    """`run`: the run that the slot is to start."""

    slot: Slot
    run: NewRow | None


def prepare_slots(slots: Sequence[Slot], payloads: Payloads) -> list[PreparedSlot]:
    """Raises StoreError when a large payload cannot be written."""
    return [PreparedSlot(slot, None if slot.run is None else prepare_run(slot.run, payloads)) for slot in slots]


class Keep(msgspec.Struct, frozen=True):
    """See `Store.sync_schedules`."""

    schedules: Sequence[tuple[str, str]]
    at: float

    def perform(self, session: Session) -> list[float]:
        kept = array(self.schedules)
        session.connection.execute(_END, (kept,))
        session.connection.execute(_BEGIN, (self.at, kept))
        settled = {(name, schedule): at for name, schedule, at in session.connection.execute(_SETTLED)}
        return [settled[schedule] for schedule in self.schedules]


_LISTED = "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)"
_END = f"UPDATE schedules SET settled = NULL WHERE settled IS NOT NULL AND (name, schedule) NOT IN ({_LISTED})"
_BEGIN = f"""
INSERT INTO schedules (settled, name, schedule) SELECT ?, * FROM ({_LISTED}) WHERE true
ON CONFLICT (name, schedule) DO UPDATE SET settled = min(coalesce(settled, excluded.settled), excluded.settled)
"""
_SETTLED = "SELECT name, schedule, settled FROM schedules WHERE settled IS NOT NULL"


class Fire(msgspec.Struct, frozen=True):
    """See `Store.fire` and `Store.backfill`, which does not settle a schedule."""

    slots: list[PreparedSlot]
    at: float
    settles: bool

    def perform(self, session: Session) -> list[Admission | None]:
        places = _places(session, [prepared.slot for prepared in self.slots])
        fired = _fired(session, places)
        starting: dict[_Place, NewRow] = {}
        for place, prepared in zip(places, self.slots, strict=True):
            if prepared.run is not None and place not in fired:
                starting.setdefault(place, prepared.run)
        admitted = dict(zip(starting, create_runs(session, list(starting.values())), strict=True))
        rows: dict[_Place, tuple[Any, ...]] = {}
        for place, prepared in zip(places, self.slots, strict=True):
            if place not in fired:
                rows.setdefault(place, (*place, *_outcome(prepared.slot, admitted.get(place)), self.at))
        session.write_rows("INSERT INTO slots (schedule, slot_ms, outcome, reason, run, at) VALUES ", list(rows.values()), _ONCE)
        if self.settles:
            last = dict(places)  # of each schedule
            session.connection.executemany(_SETTLE, [(slot_ms / 1000, schedule) for schedule, slot_ms in last.items()])
        return [admitted.pop(place, None) for place in places]


_ONCE = """
ON CONFLICT (schedule, slot_ms) DO UPDATE
    SET outcome = excluded.outcome, reason = excluded.reason, run = excluded.run, at = excluded.at
    WHERE excluded.outcome = 'fired' AND slots.outcome <> 'fired'
"""
_SETTLE = "UPDATE schedules SET settled = ? WHERE id = ? AND settled IS NOT NULL"


def _places(session: Session, slots: Sequence[Slot]) -> list[_Place]:
    """Where the rows of the slots belong. A schedule that was never followed (a backfill may be the first use) is added."""
    ids: dict[tuple[str, str], int] = {}
    for named in dict.fromkeys((slot.name, slot.schedule) for slot in slots):
        session.connection.execute("INSERT INTO schedules (name, schedule) VALUES (?, ?) ON CONFLICT DO NOTHING", named)
        ids[named] = session.connection.execute("SELECT id FROM schedules WHERE name = ? AND schedule = ?", named).fetchone()[0]
    return [(ids[slot.name, slot.schedule], round(slot.slot * 1000)) for slot in slots]


def _fired(session: Session, places: Sequence[_Place]) -> set[_Place]:
    """Those of the slots that have started a run."""
    rows = session.connection.execute(
        f"SELECT schedule, slot_ms FROM slots WHERE (schedule, slot_ms) IN ({_LISTED}) AND outcome = 'fired'",
        (array(places),),
    )
    return set(rows)


def _outcome(slot: Slot, admitted: Admission | None) -> tuple[str, str, str | None]:
    """What is recorded: outcome, reason, run."""
    if admitted is None:
        return slot.outcome, slot.reason, None
    if admitted.outcome == "created":
        return "fired", slot.reason, admitted.run_id
    return slot.became(admitted), admitted.reason, None


_COLUMNS = """
d.name, d.schedule, s.slot_ms, s.outcome, s.reason, s.at, s.run FROM schedules d CROSS JOIN slots s ON s.schedule = d.id
"""


def last(connection: sqlite3.Connection, name: str | None, schedule: str | None, limit: int) -> list[SlotRow]:
    """See `Store.slots`. Of each schedule only as many rows are read as may be asked for."""
    ids = connection.execute(
        "SELECT id FROM schedules WHERE name = coalesce(?1, name) AND schedule = coalesce(?2, schedule)", (name, schedule)
    ).fetchall()
    query = f"SELECT {_COLUMNS} WHERE d.id = ? ORDER BY s.slot_ms DESC LIMIT ?"
    rows = [row for (id_,) in ids for row in connection.execute(query, (id_, limit))]
    rows.sort(key=lambda row: row[2], reverse=True)
    return [_row(row) for row in rows[:limit]]


def between(connection: sqlite3.Connection, name: str, schedule: str, begin: float, end: float) -> list[SlotRow]:
    """See `Store.slots_between`."""
    query = f"SELECT {_COLUMNS} WHERE d.name = ? AND d.schedule = ? AND s.slot_ms >= ? AND s.slot_ms < ? ORDER BY s.slot_ms"
    return [_row(row) for row in connection.execute(query, (name, schedule, begin * 1000, end * 1000))]


def _row(row: tuple[Any, ...]) -> SlotRow:
    name, schedule, milliseconds, outcome, reason, at, run_id = row
    slot = milliseconds / 1000
    return SlotRow(name=name, schedule=schedule, slot=slot, outcome=outcome, reason=reason, at=at, run_id=run_id)
