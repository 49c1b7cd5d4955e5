"""The tables, and how a store of an older version becomes one of this.

A new store is made from SCHEMA at once. An older one is moved forward by MIGRATIONS, one function a version, all in one
transaction under the writers' lock; each gets a `sqlite_utils.Database`, which is imported only then (70 ms).
PRAGMA user_version holds the version, so an up-to-date store opens with one small read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agentctl.errors import StoreError, StoreTooNew
from agentctl.store.db.failpoint import commit

if TYPE_CHECKING:
    from sqlite_utils import Database

VERSION = 2
APPLICATION_ID = 0x61676374  # "agct": tells our files from any other program's

# The history lists by time, by status and by name. A listing by name alone merges one range per status, so that no further
# index has to be kept up at every change of status.
# `runs.key` is what journal and mail refer to: eight bytes at most, where the id is text.
# `journal` has rowids: new events of a hundred runs land on one page, where a table ordered by (run, seq) touches a hundred.
# `schedules.settled` is NULL while nobody keeps to the schedule. `slots.run` is the id, not the key: the row outlives the run.
# `results.run` is an id: a recorded result keeps its promise after its run was pruned. `until`: how long a cached one counts.
# `runs.in_line` is NULL without limits on when it may start; 1 while it stands in line, so that it is not offered; else 0.
# `places`: what a run needs room in from its arrival to its end. `held`: 0 in line, 1 it has its place, NULL it has ended.
#   With `per` it is a throttle: at its turn the run is done with it (NULL), and a row of `starts` counts for so long instead.
# `starts.run`: of a throttle, the run whose start it is; should it come to none, that start never was.
# `events` are what ids are known by: kept for 30 days at least, and as long as they lie on a pile, though other history goes.
# `piles`: events that are gathered for one run. Of a debounce the newest is `piled`, of a batch all; `due` follows from the rest.
# `mail.id` never returns (AUTOINCREMENT): who has seen number 7 has seen it for good.
SCHEMA = """
CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    version TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN
        ('queued', 'running', 'waiting', 'blocked', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    trigger TEXT NOT NULL,
    parent TEXT,
    parent_path TEXT,
    parent_depth INTEGER,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    steps_done INTEGER NOT NULL DEFAULT 0 CHECK (steps_done >= 0),
    steps_total INTEGER NOT NULL DEFAULT 0 CHECK (steps_total >= 0),
    usage TEXT,
    output TEXT,
    error TEXT,
    wake_at REAL,
    input TEXT NOT NULL,
    event TEXT,
    head INTEGER NOT NULL CHECK (head >= 1),
    epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    owner TEXT CHECK (owner IS NULL OR epoch > 0 OR status = 'queued'),
    in_line INTEGER CHECK (in_line IN (0, 1)),
    CHECK ((finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'cancelled'))),
    CHECK ((parent IS NULL) = (parent_path IS NULL)),
    CHECK ((parent IS NULL) = (parent_depth IS NULL))
);
CREATE INDEX runs_by_time ON runs (created_at);
CREATE INDEX runs_by_status ON runs (status, created_at);
CREATE INDEX runs_by_name ON runs (name, status, created_at);
CREATE INDEX runs_by_parent ON runs (parent, created_at) WHERE parent IS NOT NULL;
CREATE INDEX runs_by_owner ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_free ON runs (created_at)
    WHERE owner IS NULL AND status IN ('queued', 'running', 'interrupted') AND in_line IS NOT 1;
CREATE INDEX runs_asleep ON runs (wake_at) WHERE owner IS NULL AND status IN ('waiting', 'blocked') AND wake_at IS NOT NULL;

CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (key),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    event TEXT NOT NULL,
    UNIQUE (run, seq)
);

CREATE TABLE mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES runs (key),
    event TEXT NOT NULL
);
CREATE INDEX mail_by_run ON mail (run);

CREATE TABLE awaiters (
    target INTEGER NOT NULL REFERENCES runs (key),
    run INTEGER NOT NULL REFERENCES runs (key),
    path TEXT NOT NULL,
    PRIMARY KEY (target, run, path)
) WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    name TEXT NOT NULL CHECK (name <> ''),
    data TEXT,
    received_at REAL NOT NULL,
    headers TEXT
);
CREATE INDEX events_by_name ON events (name, received_at);

CREATE TABLE waits (
    run INTEGER NOT NULL REFERENCES runs (key),
    path TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('event', 'approval', 'unknown')),
    since REAL NOT NULL,
    due REAL,
    name TEXT NOT NULL CHECK ((name <> '') = (kind = 'event')),
    digest TEXT NOT NULL CHECK ((digest <> '') = (kind = 'approval')),
    subject TEXT,
    answered REAL,
    PRIMARY KEY (run, path)
) WITHOUT ROWID;
CREATE INDEX waits_for_event ON waits (name) WHERE kind = 'event';
CREATE INDEX waits_for_person ON waits (since) WHERE kind <> 'event';

CREATE TABLE memory (
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    changed_at REAL NOT NULL,
    run INTEGER REFERENCES runs (key),
    PRIMARY KEY (name, key)
) WITHOUT ROWID;

CREATE TABLE accounts (
    key TEXT PRIMARY KEY,
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    usd REAL NOT NULL CHECK (usd >= 0)
) WITHOUT ROWID;

CREATE TABLE reservations (
    run INTEGER NOT NULL REFERENCES runs (key),
    path TEXT NOT NULL,
    account TEXT NOT NULL,
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    PRIMARY KEY (run, path, account)
) WITHOUT ROWID;
CREATE INDEX reservations_by_account ON reservations (account, tokens);

CREATE TABLE feedback (
    run INTEGER PRIMARY KEY REFERENCES runs (key),
    verdict TEXT NOT NULL CHECK (verdict IN ('good', 'bad', 'false-positive')),
    note TEXT,
    at REAL NOT NULL
);

CREATE TABLE results (
    name TEXT NOT NULL,
    step TEXT NOT NULL,
    key TEXT NOT NULL,
    run TEXT NOT NULL,
    path TEXT NOT NULL,
    output TEXT NOT NULL,
    at REAL NOT NULL,
    until REAL,
    PRIMARY KEY (name, step, key)
) WITHOUT ROWID;

CREATE TABLE claims (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    step TEXT NOT NULL,
    key TEXT NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (key),
    path TEXT NOT NULL,
    held INTEGER NOT NULL CHECK (held IN (0, 1)),
    UNIQUE (run, path)
);
CREATE UNIQUE INDEX claims_held ON claims (name, step, key) WHERE held;
CREATE INDEX claims_in_line ON claims (name, step, key, id);

CREATE TABLE places (
    run INTEGER NOT NULL REFERENCES runs (key),
    grp TEXT NOT NULL CHECK (grp <> ''),
    capacity INTEGER NOT NULL CHECK (capacity >= 1),
    per REAL CHECK (per > 0),
    rank REAL NOT NULL,
    held INTEGER CHECK (held IN (0, 1)),
    leaving INTEGER NOT NULL DEFAULT 0 CHECK (leaving IN (0, 1)),
    PRIMARY KEY (run, grp),
    CHECK (per IS NULL OR held IS NOT 1)
) WITHOUT ROWID;
CREATE INDEX places_in_line ON places (grp, rank, run) WHERE held = 0;
CREATE INDEX places_held ON places (grp, run) WHERE held = 1;

CREATE TABLE starts (
    id INTEGER PRIMARY KEY,
    grp TEXT NOT NULL CHECK (grp <> ''),
    at REAL NOT NULL,
    until REAL NOT NULL,
    run INTEGER
);
CREATE INDEX starts_by_group ON starts (grp, until);
CREATE INDEX starts_by_end ON starts (until);

CREATE TABLE firsts (
    grp TEXT PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (key),
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX firsts_by_end ON firsts (until);

CREATE TABLE definitions (
    version TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    file TEXT NOT NULL,
    source TEXT NOT NULL,
    compiled BLOB NOT NULL,
    format TEXT NOT NULL,
    registered_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE deployments (
    name TEXT PRIMARY KEY CHECK (name <> ''),
    kind TEXT NOT NULL CHECK (kind IN ('loop', 'skill')),
    file TEXT NOT NULL,
    version TEXT NOT NULL,
    deployed_at REAL NOT NULL,
    problem TEXT,
    gone INTEGER NOT NULL CHECK (gone IN (0, 1)),
    paused_at REAL,
    root TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE subscriptions (
    pattern TEXT NOT NULL CHECK (pattern <> ''),
    name TEXT NOT NULL REFERENCES deployments (name),
    trigger INTEGER NOT NULL CHECK (trigger >= 0),
    PRIMARY KEY (pattern, name, trigger)
) WITHOUT ROWID;
CREATE INDEX subscriptions_by_name ON subscriptions (name);

CREATE TABLE files (
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    stamp TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (name, path)
) WITHOUT ROWID;

CREATE TABLE pauses (
    name TEXT NOT NULL REFERENCES deployments (name),
    began_at REAL NOT NULL,
    ended_at REAL NOT NULL CHECK (ended_at >= began_at),
    PRIMARY KEY (name, began_at)
) WITHOUT ROWID;

CREATE TABLE schedules (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL CHECK (name <> ''),
    schedule TEXT NOT NULL CHECK (schedule <> ''),
    settled REAL,
    UNIQUE (name, schedule)
);

CREATE TABLE slots (
    schedule INTEGER NOT NULL REFERENCES schedules (id),
    slot_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('fired', 'skipped', 'missed', 'overlapped')),
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    run TEXT CHECK ((run IS NOT NULL) = (outcome = 'fired')),
    PRIMARY KEY (schedule, slot_ms)
) WITHOUT ROWID;

CREATE TABLE piles (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    trigger INTEGER NOT NULL,
    grp TEXT NOT NULL,
    oldest REAL NOT NULL,
    newest REAL NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 1),
    seconds REAL NOT NULL,
    size INTEGER CHECK (size >= 1),
    due REAL NOT NULL,
    UNIQUE (name, trigger, grp)
);
CREATE INDEX piles_by_due ON piles (due);

CREATE TABLE piled (
    pile INTEGER NOT NULL REFERENCES piles (id),
    event INTEGER NOT NULL REFERENCES events (seq),
    PRIMARY KEY (pile, event)
) WITHOUT ROWID;
CREATE INDEX piled_by_event ON piled (event);
"""

Migration = Callable[["Database"], None]


def _to_2(database: Database) -> None:
    """Events keep what a webhook's headers said; deployments keep whose project they are of, by default that around the store."""
    database.table("events").add_column("headers", str)
    database.table("deployments").add_column("root", str, not_null_default="..")


MIGRATIONS: Mapping[int, Migration] = {2: _to_2}  # version -> how a store of the version before gets there


def stored_version(connection: sqlite3.Connection) -> int:
    """0: an empty file. Raises sqlite3.DatabaseError when the file is no database."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def refuse_foreign(connection: sqlite3.Connection, version: int, path: Path) -> None:
    """Raise StoreVersion for a store of a newer agentctl, StoreError for another program's database."""
    if version > VERSION:
        raise StoreTooNew(
            f"the store {path} has version {version}, written by a newer agentctl; this one reads up to version {VERSION}:"
            " update agentctl"
        )
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    empty = version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if application != APPLICATION_ID and not empty:
        raise StoreError(f"{path} is another program's SQLite database; a store of agentctl was expected")


def bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables in an empty file, or migrate an older store, in one transaction. The caller holds the writers' lock.

    Looks at the version again: another process may have been here while we waited for the lock.
    """
    # Before the first table, else it takes a VACUUM: what is pruned can be given back to the disk in small pieces.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    # The journal mode cannot change inside a transaction; it stays with the file from then on.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    version = stored_version(connection)
    refuse_foreign(connection, version, path)
    if version == VERSION:
        connection.execute("ROLLBACK")
        return
    if version == 0:
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    else:
        _migrate(connection, version)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    commit(connection)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    from sqlite_utils import Database

    database = Database(connection, execute_plugins=False)
    for step in range(version + 1, VERSION + 1):
        MIGRATIONS[step](database)
