"""Open connections to a store, and pass lists to their statements."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

CHECKPOINT_AFTER = 2000  # pages in the write-ahead log, 8 MiB


def open_for_writing(path: Path, patience: float) -> sqlite3.Connection:
    """A connection for the writer, in autocommit: transactions are begun by name. Raises sqlite3.Error.

    `patience`: seconds SQLite waits for a lock of a program that does not know our lock file. The connection does not
    checkpoint by itself until `checkpoint_in_commits`.
    """
    connection = _connect(f"file:{quote(str(path))}?mode=rw", patience, statements=256)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def checkpoint_in_commits(connection: sqlite3.Connection) -> None:
    """From now on a COMMIT that finds a long log copies it into the database: inside the writers' lock, as it must be."""
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_AFTER}")


def open_for_reading(path: Path, patience: float) -> sqlite3.Connection:
    """A connection that cannot write. Raises sqlite3.Error.

    A store in a folder that cannot be written to has no place for SQLite's shared memory; when no log is left to
    read either, the file alone is the whole store, and is read as one that does not change.
    """
    connection = _connect(f"file:{quote(str(path))}?mode=ro", patience, statements=64)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        log = path.with_name(path.name + "-wal")
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or _has_content(log):
            raise
        return open_unchanging(path)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def at_one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """While inside, all queries see the store as it is at one moment: others write between two of them, and what the first has
    found may be gone for the second. To be left soon: the log is not copied back past it. Not to be entered twice."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:  # else an error ended it
            connection.execute("COMMIT")


def open_unchanging(path: Path) -> sqlite3.Connection:
    """A connection to a file that does not change, without locks and without files beside it. Raises sqlite3.Error."""
    return _connect(f"file:{quote(str(path))}?mode=ro&immutable=1", 0.0, statements=64)


def _connect(uri: str, patience: float, statements: int) -> sqlite3.Connection:
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=patience, cached_statements=statements
    )


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def array(values: Iterable[Any]) -> str:
    """Many values as one parameter, which a statement reads by `json_each(?)`: however many, the statement stays the same."""
    return msgspec.json.encode(list(values)).decode()
