"""Open a store: SQLite in one file.

`Ledger` is composed of parts as `ports.Store` is of Protocols. A part does no work itself: each method hands what it was given
to a room of the store, with the reader's connection or as a job for the writer.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agentctl.errors import StoreError, StoreMissing, StoreNeedsMigration
from agentctl.store.db import connection as connections
from agentctl.store.db import failures, schema
from agentctl.store.db.location import StoreLocation
from agentctl.store.db.locks import WriteLock
from agentctl.store.parts.events import EventMethods
from agentctl.store.parts.journals import JournalMethods
from agentctl.store.parts.people import PeopleMethods
from agentctl.store.parts.runs import RunMethods
from agentctl.store.parts.schedules import ScheduleMethods
from agentctl.store.parts.upkeep import UpkeepMethods

_OLDEST_SQLITE = (3, 33, 0)  # the first with UPDATE .. FROM


class Ledger(JournalMethods, RunMethods, EventMethods, ScheduleMethods, PeopleMethods, UpkeepMethods):
    """See `ports.Store` for the contract. One object per process and store; any thread may read, any event loop write."""


def open_store(path: Path, *, read_only: bool = False, patience: float = 10.0) -> Ledger:
    """Open the store at `path`, making or migrating it where needed. `patience`: seconds to wait for another writer.

    Raises StoreError (no store, read-only, another program's file, network file system), StoreBusy, StoreFull,
    StoreCorrupt, StoreTooNew. With `read_only` nothing is created, migrated or changed; an older store raises StoreNeedsMigration
    and writes raise StoreError.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        needed = ".".join(map(str, _OLDEST_SQLITE))
        raise StoreError(f"this Python has SQLite {sqlite3.sqlite_version}; agentctl needs {needed} or newer")
    place = StoreLocation(path)
    place.check(read_only=read_only)
    if not read_only:
        place.create()
    with failures.raised_as_ours(place.path):
        reader = connections.open_for_reading(place.path, patience)
        try:
            version = schema.stored_version(reader)
            schema.refuse_foreign(reader, version, place.path)
        except BaseException:
            reader.close()
            raise
        if version == schema.VERSION:
            return Ledger(place, reader, read_only=read_only, patience=patience)
        reader.close()
        if read_only:
            raise _unusable(place.path, version)
        _bring_up_to_date(place, patience)
        return Ledger(place, connections.open_for_reading(place.path, patience), read_only=False, patience=patience)


def _unusable(path: Path, version: int) -> StoreError:
    if version == 0:  # the process that made the file died before its first commit
        return StoreMissing(f"the store {path} is empty")
    message = f"this agentctl reads {schema.VERSION}; open it for writing once to migrate it"
    return StoreNeedsMigration(f"the store {path} has version {version}, {message}")


def _bring_up_to_date(place: StoreLocation, patience: float) -> None:
    lock = WriteLock(place.lock, place.path, patience)
    try:
        with lock:
            connection = connections.open_for_writing(place.path, patience)
            try:
                schema.bring_up_to_date(connection, place.path)
            finally:
                connection.close()
    finally:
        lock.close()
