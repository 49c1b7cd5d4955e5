"""What pruning may remove, found piece by piece on a connection that only reads. See `prune` for the rules."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agentctl.core.timestamps import rfc3339
from agentctl.ports import Pruned
from agentctl.store.upkeep.orphan_files import HASH, named_in

LEAST_FOR_EVENTS = 30 * 86_400.0  # seconds: how long a second delivery of an event is recognised
LEAST_FOR_DEFINITIONS = 86_400.0  # seconds: a definition in use is registered again more often than that
MOST_RUNS = 100  # in one piece
MOST_ROWS = 2_000  # in one piece: about 10 ms of writing
_PAGE = 500  # families looked at in one reading transaction

Rows = list[tuple[Any, ...]]


class Terms:
    """`before`: runs that ended earlier may go; likewise `events_before`, `definitions_before`. All in epoch seconds.

    `firsts`: keys of the runs that `dedupe` still names.
    """

    def __init__(self, reader: sqlite3.Connection, now: float, keep: float) -> None:
        self.now = now
        self.before = now - keep
        self.definitions_before = min(self.before, now - LEAST_FOR_DEFINITIONS)
        self.firsts = {key for (key,) in reader.execute("SELECT run FROM firsts WHERE until > ?", (now,))}
        oldest = reader.execute("SELECT min(created_at) FROM runs WHERE finished_at IS NULL").fetchone()[0]
        needed = now if oldest is None else oldest
        self.events_before = min(self.before, now - LEAST_FOR_EVENTS, needed)


def count(reader: sqlite3.Connection, terms: Terms) -> Pruned:
    """What `prune` would remove now; of definitions and files only those that are unused before the runs are gone."""
    found = dict.fromkeys(("runs", "events", "slots", "results", "definitions"), 0)
    found["runs"] = sum(len(piece) for piece in runs(reader, terms))
    for kind, _, find in KINDS:
        if kind in found:
            found[kind] += sum(len(piece) for piece in find(reader, terms))
    return Pruned(**found)


# --- runs ----------------------------------------------------------------------------------------------------------

_OLD = """
SELECT created_at, key, id FROM runs INDEXED BY runs_by_time WHERE (created_at, key) > (?, ?) AND created_at < ?
    AND finished_at < ? AND (parent IS NULL OR NOT EXISTS (SELECT 1 FROM runs p WHERE p.id = runs.parent))
    ORDER BY created_at, key LIMIT ?
"""
# `needed`: see `prune`. A claim that only waits in the queue does not count.
_FAMILY = """
WITH RECURSIVE family (id, depth) AS (
    SELECT ?, 0 UNION SELECT r.id, f.depth + 1 FROM family f JOIN runs r ON r.parent = f.id
)
SELECT r.id, r.head, r.key, r.finished_at IS NULL OR r.finished_at >= ?
        OR EXISTS (SELECT 1 FROM mail WHERE mail.run = r.key AND mail.event LIKE '{"type":"RunResumed"%')
        OR EXISTS (SELECT 1 FROM claims WHERE claims.run = r.key AND held) AS needed
    FROM family f JOIN runs r ON r.id = f.id ORDER BY f.depth DESC
"""


def runs(reader: sqlite3.Connection, terms: Terms) -> Iterator[list[str]]:
    """Ids of runs that may go, in an order in which they may go, in pieces."""
    piece: list[str] = []
    rows = 0
    for run_id, events in _members(reader, terms):
        if piece and (len(piece) >= MOST_RUNS or rows + events > MOST_ROWS):
            yield piece
            piece, rows = [], 0
        piece.append(run_id)
        rows += events
    if piece:
        yield piece


def _members(reader: sqlite3.Connection, terms: Terms) -> Iterator[tuple[str, int]]:
    """(id, length of the journal) of every run of every family that may go, children first."""
    last = (0.0, 0)
    while True:
        tops = reader.execute(_OLD, (*last, terms.before, terms.before, _PAGE)).fetchall()
        if not tops:
            return
        for _, _, run_id in tops:
            family = reader.execute(_FAMILY, (run_id, terms.before)).fetchall()
            if not any(needed or key in terms.firsts for _, _, key, needed in family):
                yield from ((id_, events) for id_, events, _, _ in family)
        last = tops[-1][:2]


# --- the rest ------------------------------------------------------------------------------------------------------


def _pages(found: Iterator[tuple[Any, ...]]) -> Iterator[Rows]:
    piece: Rows = []
    for row in found:
        piece.append(row)
        if len(piece) == MOST_ROWS:
            yield piece
            piece = []
    if piece:
        yield piece


def _each(query: str, *values: Callable[[Terms], Any]) -> Callable[[sqlite3.Connection, Terms], Iterator[Rows]]:
    """A finder that reads all keys at once: a long-lived query would keep the log from being copied back."""

    def find(reader: sqlite3.Connection, terms: Terms) -> Iterator[Rows]:
        return _pages(iter(reader.execute(query, [value(terms) for value in values]).fetchall()))

    return find


_EVENTS = "SELECT seq, received_at FROM events WHERE seq > ? ORDER BY seq LIMIT ?"


def _events(reader: sqlite3.Connection, terms: Terms) -> Iterator[Rows]:
    """By number, which rises with the time: the cost is of what goes. Those that are being gathered stay."""
    last = 0
    while True:
        rows = reader.execute(_EVENTS, (last, MOST_ROWS)).fetchall()
        old = [(seq, terms.events_before) for seq, received_at in rows if received_at < terms.events_before]
        if not old:
            return
        last = rows[-1][0]
        piled = {seq for (seq,) in reader.execute("SELECT event FROM piled WHERE event BETWEEN ? AND ?", (rows[0][0], last))}
        piece = [row for row in old if row[0] not in piled]
        if piece:
            yield piece


def _definitions(reader: sqlite3.Connection, terms: Terms) -> Iterator[Rows]:
    """Versions that no run is or was pinned to (a run may have moved to an edited one), and that are not deployed."""
    candidates: dict[str, set[str]] = {}
    for name, version in reader.execute(_UNUSED, (terms.definitions_before,)).fetchall():
        candidates.setdefault(name, set()).add(version)
    folder = Path(reader.execute("PRAGMA database_list").fetchone()[2]).parent / "payloads"
    for name, versions in candidates.items():
        for (text,) in reader.execute(_PINS, (name,)):
            versions -= named_in(folder / text[1:]) if text.startswith("@") else set(HASH.findall(text))
            if not versions:
                break
        else:
            yield from _pages((version, terms.definitions_before) for version in sorted(versions))


_UNUSED = """
SELECT name, version FROM definitions d WHERE registered_at < ?
    AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.name = d.name AND r.version = d.version)
    AND NOT EXISTS (SELECT 1 FROM deployments p WHERE p.name = d.name AND p.version = d.version)
"""
_PINS = """
SELECT j.event FROM runs r JOIN journal j ON j.run = r.key WHERE r.name = ?
    AND (j.event LIKE '{"type":"RunCreated"%' OR j.event LIKE '{"type":"RunResumed"%' OR j.event LIKE '@%')
"""

Finder = Callable[[sqlite3.Connection, Terms], Iterator[Rows]]

# (what is counted, how a row is removed if it still may be, where the rows are found)
KINDS: tuple[tuple[str, str, Finder], ...] = (
    ("events", "DELETE FROM events WHERE seq = ? AND received_at < ? AND seq NOT IN (SELECT event FROM piled)", _events),
    (
        "slots",
        "DELETE FROM slots WHERE schedule = ? AND slot_ms = ? AND at < ?",
        _each("SELECT schedule, slot_ms, ? FROM slots WHERE at < ?", lambda terms: terms.before, lambda terms: terms.before),
    ),
    (
        "results",
        "DELETE FROM results WHERE name = ? AND step = ? AND key = ? AND until < ?",
        _each("SELECT name, step, key, ? FROM results WHERE until < ?", lambda terms: terms.now, lambda terms: terms.now),
    ),
    (
        "pauses",
        "DELETE FROM pauses WHERE name = ? AND began_at = ? AND ended_at < ?",
        _each("SELECT name, began_at, ? FROM pauses WHERE ended_at < ?", lambda terms: terms.before, lambda terms: terms.before),
    ),
    (
        "accounts",
        "DELETE FROM accounts WHERE key = ? AND key NOT IN (SELECT account FROM reservations)",
        _each(
            "SELECT key FROM accounts WHERE key LIKE 'day/%' AND substr(key, -10) < ?",
            lambda terms: rfc3339(terms.before)[:10],
        ),
    ),
    ("definitions", "DELETE FROM definitions WHERE version = ? AND registered_at < ?", _definitions),
)
