"""Create and migrate the tables of a store.

A new store is made from schema.sql at once. An older one is moved forward by MIGRATIONS, one function for each version, all in
one transaction under the writers' lock. Both get a `sqlite_utils.Database`, which is imported only then (70 ms).
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

VERSION = 3
APPLICATION_ID = 0x61676374  # "agct": marks our files

SCHEMA = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")

Migration = Callable[["Database"], None]


def _to_2(database: Database) -> None:
    """Events keep the headers of a webhook; deployments keep their project's root (the folder around the store's)."""
    database.table("events").add_column("headers", str)
    database.table("deployments").add_column("root", str, not_null_default="..")


def _to_3(database: Database) -> None:
    """Feedback has an author; waits are offered events a few at a time; large outputs stand in the store once."""
    _to_feedback_with_authors(database)
    waits = database.table("waits")
    waits.add_column("kept_since", float, not_null_default=0)
    for column in ("opened", "cursor", "offered"):
        waits.add_column(column, int, not_null_default=0)
    waits.add_column("pending", int)
    # The older version has offered everything that was kept when the wait opened, and everything that came later.
    database.execute("UPDATE waits SET (opened, cursor) = (SELECT coalesce(max(seq), 0), coalesce(max(seq), 0) FROM events)")
    for statement in _EVENTS_THAT_ARE_NUMBERED_ONCE:
        database.execute(statement)
    database.table("piled").add_column("depth", int, not_null_default=0)
    database.table("outputs").create(
        {"run": int, "digest": str, "value": str},
        pk=("run", "digest"),
        not_null={"run", "digest", "value"},
        foreign_keys=[("run", "runs", "key")],
    )
    snapshots = {"run": int, "head": int, "state": bytes}
    database.table("snapshots").create(snapshots, pk="run", not_null={"head", "state"}, foreign_keys=[("run", "runs", "key")])
    for statement in _EVENTS_THAT_WERE_TAKEN:
        database.execute(statement)


# What sqlite_utils cannot say: AUTOINCREMENT and WITHOUT ROWID.
_EVENTS_THAT_ARE_NUMBERED_ONCE = (
    "CREATE TABLE events_3 (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE CHECK (id <> ''),"
    " name TEXT NOT NULL CHECK (name <> ''), data TEXT, received_at REAL NOT NULL, headers TEXT)",
    "INSERT INTO events_3 SELECT seq, id, name, data, received_at, headers FROM events",
    "DROP TABLE events",
    "ALTER TABLE events_3 RENAME TO events",
    "CREATE INDEX events_by_name ON events (name, received_at)",
    "CREATE INDEX events_in_order ON events (name)",
)
_EVENTS_THAT_WERE_TAKEN = (
    "CREATE TABLE taken (run INTEGER NOT NULL REFERENCES runs (key), event INTEGER NOT NULL, PRIMARY KEY (run, event))"
    " WITHOUT ROWID",
    "CREATE TABLE wait_starts (run INTEGER NOT NULL REFERENCES runs (key), name TEXT NOT NULL, since REAL NOT NULL,"
    " cursor INTEGER NOT NULL, PRIMARY KEY (run, name)) WITHOUT ROWID",
    "INSERT OR IGNORE INTO taken SELECT r.key, e.seq FROM runs r JOIN journal j ON j.run = r.key"
    " JOIN events e ON e.id = json_extract(j.event, '$.event.id')"
    ' WHERE r.finished_at IS NULL AND j.event LIKE \'{"type":"EventReceived"%\'',
)


def _to_feedback_with_authors(database: Database) -> None:
    rows = list(database.table("feedback").rows_where(order_by="at"))
    database.table("feedback").drop()
    feedback = database.table("feedback").create(
        {"id": int, "run": int, "verdict": str, "note": str, "by": str, "person": int, "at": float},
        pk="id",
        not_null={"run", "verdict", "by", "person", "at"},
        foreign_keys=[("run", "runs", "key")],
    )
    feedback.create_index(["run", "person", "by"], "feedback_by_author", unique=True)
    feedback.insert_all({**row, "by": "", "person": 1} for row in rows)


# version -> how a store of the version before gets there
MIGRATIONS: Mapping[int, Migration] = {2: _to_2, 3: _to_3}


def stored_version(connection: sqlite3.Connection) -> int:
    """0: an empty file. Raises sqlite3.DatabaseError when the file is no database."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found


def refuse_foreign(connection: sqlite3.Connection, version: int, path: Path) -> None:
    """Raise StoreTooNew for a store of a newer agentctl, StoreError for another program's database."""
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
        database = _database(connection)
        for step in range(version + 1, VERSION + 1):
            MIGRATIONS[step](database)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    commit(connection)


def _database(connection: sqlite3.Connection) -> Database:
    from sqlite_utils import Database

    return Database(connection, execute_plugins=False)
