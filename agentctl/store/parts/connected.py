"""A store that is open: its connections, its writer, and what every part of it needs."""

from __future__ import annotations

import _thread  # `threading` takes a command that only looks a millisecond to import
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from agentctl.errors import StoreError
from agentctl.store.db import connection as connections
from agentctl.store.db import failures
from agentctl.store.db.location import StoreLocation
from agentctl.store.db.locks import WriteLock
from agentctl.store.runs.executors import Executor, Liveness
from agentctl.store.runs.payloads import Payloads

if TYPE_CHECKING:
    from agentctl.store.db.locks import ServeLock
    from agentctl.store.db.wake import Listener
    from agentctl.store.db.writer import Job, Writer


class Connected:
    """What the parts share. Rooms that few commands need are imported by the method that enters them."""

    def __init__(self, location: StoreLocation, reader: sqlite3.Connection, *, read_only: bool, patience: float) -> None:
        self.location = location
        self.path = location.path
        self._payloads = Payloads(location.payloads)
        self._reader = reader
        self._one_moment = _thread.allocate_lock()
        self._read_only = read_only
        self._patience = patience
        self._executor = Executor(location.executors, location.serve)
        self._writer: Writer | None = None
        self._lock: WriteLock | None = None
        self._listener: Listener | None = None
        self._serve_lock: ServeLock | None = None
        self._closed = False
        self._seen_version = self._data_version()
        self.on_commit: Callable[[float], None] | None = None  # see Writer; set before the first write

    def _submit(self, job: Job, *, now: bool = False) -> Awaitable[Any]:
        if self._closed:
            raise StoreError(f"the store {self.path} is closed")
        if self._read_only:
            raise StoreError(f"the store {self.path} was opened to be read only")
        if self._writer is None:
            self._writer = self._start_writer()
        return self._writer.write_now(job) if now else self._writer.submit(job)

    def _start_writer(self) -> Writer:
        """With the first write: a command that only reads starts no thread and takes no lock."""
        from agentctl.store.db.session import Session
        from agentctl.store.db.writer import Writer

        with failures.raised_as_ours(self.path):
            if self._lock is None:
                self._lock = WriteLock(self.location.lock, self.path, self._patience)
            connection = connections.open_for_writing(self.path, self._patience)
            writer = Writer(Session(connection, self._payloads, self._executor), self.location, self._lock, self._wake_others)
        # From now on the writer notices foreign writes; only the reader knows of those until now.
        writer.on_commit = self.on_commit
        writer.foreign = self._data_version() != self._seen_version
        return writer

    def _wake_others(self) -> None:
        from agentctl.store.db.wake import wake_others

        wake_others(self.location.wake, None if self._listener is None else self._listener.name)

    def _open_reader(self) -> sqlite3.Connection:
        """Open one more, for long reads."""
        with self._reading():
            return connections.open_for_reading(self.path, self._patience)

    def _data_version(self) -> int:
        with self._reading():
            number: int = self._reader.execute("PRAGMA data_version").fetchone()[0]
            return number

    def _liveness(self) -> Liveness:
        return self._executor.liveness()

    def _reading(self) -> AbstractContextManager[None]:
        if self._closed:
            raise StoreError(f"the store {self.path} is closed")
        return failures.raised_as_ours(self.path)

    @contextmanager
    def _at_one_moment(self) -> Iterator[None]:
        with self._reading(), self._one_moment, connections.at_one_moment(self._reader):
            yield

    def close(self) -> None:
        """See the contract. Safe to repeat, and when the event loop is gone."""
        if self._closed:
            return
        self._closed = True
        if self._listener is not None:
            self._listener.close()
        self._reader.close()  # before the writer's: SQLite folds the log into the database when the last connection closes
        if self._writer is not None:
            self._writer.close()
        self._executor.stop()
        if self._serve_lock is not None:
            self._serve_lock.close()
        if self._lock is not None:
            self._lock.close()
