"""`open_store`, and the Store that it opens: SQLite in one file.

`Ledger` is as long as `ports.Store` is wide, and does no work itself: each method hands what it was given to a room of the store,
with the reader's connection or as a job for the writer. Rooms that few commands need are imported by the method that enters them.
"""

from __future__ import annotations

import _thread  # `threading` takes a command that only looks a millisecond to import
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentctl import JSON
from agentctl.core.events import AnyEvent, ApprovalGiven, Error
from agentctl.errors import NotFound, StoreError, StoreMissing, StoreNeedsMigration
from agentctl.ports import (
    NOTHING,
    Admission,
    Append,
    Appended,
    Awaiter,
    Deployment,
    Feedback,
    Gathered,
    HistoryFilter,
    Lease,
    Mail,
    NewEvent,
    NewRun,
    Pruned,
    QueuePosition,
    Reply,
    RunRow,
    RunStatus,
    SeenFile,
    SendResult,
    Slot,
    SlotRow,
    Statistics,
    StoredDefinition,
    Subscription,
    Triggered,
    Verdict,
    Waiting,
)
from agentctl.store.db import connection as connections
from agentctl.store.db import failures, schema
from agentctl.store.db.files import private_folder
from agentctl.store.db.location import StoreLocation
from agentctl.store.db.locks import WriteLock, holder
from agentctl.store.runs import reads
from agentctl.store.runs.executors import Executor, Liveness
from agentctl.store.runs.payloads import Payloads

if TYPE_CHECKING:
    from agentctl.store.db.locks import ServeLock
    from agentctl.store.db.wake import Listener
    from agentctl.store.db.writer import Job, Writer

_OLDEST_SQLITE = (3, 33, 0)  # the first with UPDATE .. FROM


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
    with _failures_told(place.path):
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
    said = f"this agentctl reads {schema.VERSION}; open it for writing once to migrate it"
    return StoreNeedsMigration(f"the store {path} has version {version}, {said}")


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


class Ledger:
    """See `ports.Store` for the contract. One object per process and store; any thread may read, any event loop write."""

    def __init__(self, place: StoreLocation, reader: sqlite3.Connection, *, read_only: bool, patience: float) -> None:
        self.place = place
        self.path = place.path
        self._payloads = Payloads(place.payloads)
        self._reader = reader
        self._one_moment = _thread.allocate_lock()
        self._read_only = read_only
        self._patience = patience
        self._executor = Executor(place.executors, place.serve)
        self._writer: Writer | None = None
        self._lock: WriteLock | None = None
        self._listener: Listener | None = None
        self._serve_lock: ServeLock | None = None
        self._closed = False
        self._seen_version = self._data_version()

    # --- writes ---

    def append(self, entry: Append) -> Awaitable[Appended]:
        from agentctl.store.runs.append import prepare

        return self._submit(prepare(entry, self._payloads), now=entry.alone)

    def create(self, runs: Sequence[NewRun], *, reserve: bool = False) -> Awaitable[list[Admission]]:
        from agentctl.store.runs.changes import Create
        from agentctl.store.runs.create import prepare_run

        return self._submit(Create([prepare_run(run, self._payloads) for run in runs], reserve))

    def acquire(self, run_ids: Sequence[str], at: float | None = None) -> Awaitable[list[Lease]]:
        from agentctl.store.runs.changes import Acquire

        return self._submit(Acquire(run_ids, time.time() if at is None else at))

    def release(
        self, leases: Sequence[Lease], *, status: RunStatus | None = None, error: Error | None = None
    ) -> Awaitable[None]:
        from agentctl.store.runs.changes import Release

        return self._submit(Release(leases, status, self._payloads.json(error)))

    def post(self, replies: Sequence[Reply]) -> Awaitable[None]:
        from agentctl.store.runs.changes import Post

        return self._submit(Post([(reply.run_id, self._payloads.event(reply.event)) for reply in replies]))

    def await_run(self, awaiter: Awaiter) -> Awaitable[None]:
        from agentctl.store.runs.changes import AwaitRun

        return self._submit(AwaitRun(awaiter))

    def send(self, event: NewEvent, starts: Triggered = NOTHING) -> Awaitable[SendResult]:
        from agentctl.store.events.events import Send, prepare_event

        return self._submit(Send(prepare_event(event, starts, self._payloads)))

    def release_gathered(self, gathered: Gathered, run: NewRun | None) -> Awaitable[Admission | None]:
        from agentctl.store.events.batching import ReleaseGathered
        from agentctl.store.runs.create import prepare_run

        return self._submit(ReleaseGathered(gathered, None if run is None else prepare_run(run, self._payloads)))

    def answer(self, run_id: str, event: ApprovalGiven) -> Awaitable[bool]:
        from agentctl.store.events.waits import Answer

        return self._submit(Answer(run_id, event, self._payloads.event(event)))

    def remember(self, name: str, values: Mapping[str, JSON], unset: Sequence[str] = ()) -> Awaitable[None]:
        from agentctl.store.runs.memory import Edit, prepare_values

        return self._submit(Edit(name, prepare_values(values, self._payloads), unset))

    def give_feedback(
        self, run_id: str, verdict: Verdict, note: str | None = None, *, by: str, person: bool = True
    ) -> Awaitable[None]:
        from agentctl.store.runs.feedback import Give

        return self._submit(Give(run_id, verdict, note, by, person))

    def deploy(self, deployments: Sequence[Deployment], events: Mapping[str, Sequence[str]]) -> Awaitable[None]:
        from agentctl.store.schedules.deployments import Deploy

        return self._submit(Deploy(deployments, events))

    def pause(self, name: str, at: float) -> Awaitable[None]:
        from agentctl.store.schedules.pauses import Pause

        return self._submit(Pause(name, at))

    def unpause(self, name: str, at: float) -> Awaitable[None]:
        from agentctl.store.schedules.pauses import Unpause

        return self._submit(Unpause(name, at))

    def sync_schedules(self, schedules: Sequence[tuple[str, str]], at: float) -> Awaitable[list[float]]:
        from agentctl.store.schedules.slots import Keep

        return self._submit(Keep(schedules, at))

    def fire(self, slots: Sequence[Slot], at: float) -> Awaitable[list[Admission | None]]:
        from agentctl.store.schedules.slots import Fire, prepare_slots

        return self._submit(Fire(prepare_slots(slots, self._payloads), at, settles=True))

    def backfill(self, slots: Sequence[Slot], at: float) -> Awaitable[list[Admission | None]]:
        from agentctl.store.schedules.slots import Fire, prepare_slots

        return self._submit(Fire(prepare_slots(slots, self._payloads), at, settles=False))

    async def prune(self, now: float, keep: float, pause: Callable[[], Awaitable[None]]) -> Pruned:
        from agentctl.store.upkeep.prune import prune

        with self._reading():
            return await prune(self.place, self._open_reader, self._submit, now, keep, pause)

    def mark_files_seen(self, name: str, seen: Sequence[SeenFile], gone: Sequence[str] = ()) -> Awaitable[None]:
        from agentctl.store.schedules.files import Note

        return self._submit(Note(name, seen, gone))

    def register(self, stored: StoredDefinition) -> Awaitable[None]:
        from agentctl.store.runs.definitions import registration

        return self._submit(registration(stored))

    def check_writable(self) -> Awaitable[None]:
        from agentctl.store.runs.changes import Beat

        return self._submit(Beat())

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

        with _failures_told(self.path):
            if self._lock is None:
                self._lock = WriteLock(self.place.lock, self.path, self._patience)
            connection = connections.open_for_writing(self.path, self._patience)
            writer = Writer(Session(connection, self._payloads, self._executor), self.place, self._lock, self._wake_others)
        # From now on the writer tells who wrote; what others wrote until now only the reader can tell.
        writer.foreign = self._data_version() != self._seen_version
        return writer

    def _wake_others(self) -> None:
        from agentctl.store.db.wake import wake_others

        wake_others(self.place.wake, None if self._listener is None else self._listener.name)

    # --- reads ---

    def memory(self, name: str) -> dict[str, JSON]:
        from agentctl.store.runs.memory import read

        with self._reading():
            return read(self._reader, self._payloads, name)

    def feedback(self, run_ids: Sequence[str]) -> dict[str, list[Feedback]]:
        from agentctl.store.runs.feedback import read

        with self._reading():
            return read(self._reader, run_ids)

    def statistics(self, since: float = 0.0, name: str | None = None) -> list[Statistics]:
        from agentctl.store.runs.statistics import read

        with self._reading():
            return read(self._reader, self._payloads, since, name)

    def unfinished(self) -> dict[tuple[str, str], int]:
        from agentctl.store.runs.counts import unfinished

        with self._reading():
            return unfinished(self._reader)

    def deployments(self) -> list[Deployment]:
        from agentctl.store.schedules.deployments import read

        with self._reading():
            return read(self._reader)

    def pauses(self, name: str, after: float) -> list[tuple[float, float]]:
        from agentctl.store.schedules.pauses import read

        with self._reading():
            return read(self._reader, name, after)

    def slots(self, name: str | None = None, schedule: str | None = None, *, limit: int = 20) -> list[SlotRow]:
        from agentctl.store.schedules.slots import last

        with self._reading():
            return last(self._reader, name, schedule, limit)

    def slots_between(self, name: str, schedule: str, begin: float, end: float) -> list[SlotRow]:
        from agentctl.store.schedules.slots import between

        with self._reading():
            return between(self._reader, name, schedule, begin, end)

    def seen_files(self, name: str) -> dict[str, SeenFile]:
        from agentctl.store.schedules.files import read

        with self._reading():
            return read(self._reader, name)

    def subscriptions(self, event: str) -> list[Subscription]:
        from agentctl.store.schedules.deployments import subscriptions

        with self._reading():
            return subscriptions(self._reader, event)

    def definition(self, version: str) -> StoredDefinition | None:
        from agentctl.store.runs.definitions import read

        with self._reading():
            return read(self._reader, version)

    def run(self, run_id: str) -> RunRow | None:
        with self._reading():
            return reads.run(self._reader, self._payloads, self._liveness(), run_id)

    def find(self, prefix: str) -> RunRow:
        with self._reading():
            run = self.run(reads.find(self._reader, prefix))
        if run is None:
            raise NotFound(f"no run begins with {prefix!r}")
        return run

    def history(self, query: HistoryFilter) -> list[RunRow]:
        with self._at_one_moment():
            return reads.history(self._reader, self._payloads, self._liveness(), query)

    def iter_runs(self, query: HistoryFilter) -> Iterator[RunRow]:
        from agentctl.store.runs.walk import walk

        with self._reading():
            yield from walk(self._reader, self._payloads, self._liveness, query)

    def prunable(self, now: float, keep: float) -> Pruned:
        from agentctl.store.upkeep.prunable import Terms, count

        with self._reading(), closing(self._open_reader()) as reader:
            return count(reader, Terms(reader, now, keep))

    def _open_reader(self) -> sqlite3.Connection:
        """One more, for whoever reads for long."""
        with self._reading():
            return connections.open_for_reading(self.path, self._patience)

    def journal(self, run_id: str, after: int = 0, *, lenient: bool = False) -> Iterable[AnyEvent]:
        with self._reading():
            return reads.journal(self._reader, self._payloads, run_id, after, lenient=lenient)

    def snapshot(self, run_id: str) -> tuple[int, bytes] | None:
        with self._reading():
            return reads.snapshot(self._reader, run_id)

    def last_event_times(self, run_ids: Sequence[str]) -> dict[str, float]:
        with self._reading():
            return reads.last_event_times(self._reader, self._payloads, run_ids)

    def mail(self, run_ids: Sequence[str]) -> list[Mail]:
        with self._reading():
            return reads.mail(self._reader, self._payloads, run_ids)

    def mailed(self, after: int) -> list[tuple[int, str]]:
        with self._reading():
            return reads.mailed(self._reader, after)

    def waits(self, run_id: str) -> list[Waiting]:
        from agentctl.store.events.waits import of_run

        with self._reading():
            return of_run(self._reader, self._payloads, run_id)

    def inbox(self) -> list[Waiting]:
        from agentctl.store.events.waits import for_people

        with self._reading():
            return for_people(self._reader, self._payloads)

    def gathered(self, now: float) -> list[Gathered]:
        from agentctl.store.events.batching import due

        with self._at_one_moment():
            return due(self._reader, self._payloads, now)

    def gathered_due(self) -> float | None:
        from agentctl.store.events.batching import next_due

        with self._reading():
            return next_due(self._reader)

    def awaited_results(self, run_id: str) -> dict[str, str]:
        from agentctl.store.runs.keys import awaited

        with self._reading():
            return awaited(self._reader, run_id)

    def wait_for_graph(self, now: float) -> dict[str, list[frozenset[str]]]:
        from agentctl.store.runs.waitfor import wait_for_graph

        with self._at_one_moment():
            return wait_for_graph(self._reader, self._liveness(), now)

    def due(self, now: float, limit: int = 1000) -> list[str]:
        with self._at_one_moment():
            return reads.due(self._reader, self._liveness(), self._executor.id, now, limit)

    def next_due(self, now: float) -> float | None:
        with self._at_one_moment():
            return reads.next_due(self._reader, now)

    def queue_position(self, run_id: str, at: float | None = None) -> QueuePosition | None:
        from agentctl.store.limits.queue import standing

        with self._at_one_moment():
            now = time.time() if at is None else at
            return standing(self._reader, self._liveness(), run_id, now, self._executor.id)

    def changed(self) -> bool:
        if self._writer is not None:
            return self._writer.foreign_write()
        before, self._seen_version = self._seen_version, self._data_version()
        return before != self._seen_version

    def listen(self, wake: Callable[[], None]) -> bool:
        from agentctl.store.db.wake import Listener

        if self._listener is not None:
            self._listener.close()
        try:
            self._listener = Listener(self.place.wake, wake)
        except OSError:
            return False
        return True

    def serve(self) -> None:
        from agentctl.store.db.locks import ServeLock

        with _failures_told(self.path):
            self._serve_lock = ServeLock(self.place.serve, self.path)

    def serving(self) -> int | None:
        with _failures_told(self.path):
            return holder(self.place.serve)

    def _data_version(self) -> int:
        with self._reading():
            number: int = self._reader.execute("PRAGMA data_version").fetchone()[0]
            return number

    def _liveness(self) -> Liveness:
        return self._executor.liveness()

    def _reading(self) -> AbstractContextManager[None]:
        if self._closed:
            raise StoreError(f"the store {self.path} is closed")
        return _failures_told(self.path)

    @contextmanager
    def _at_one_moment(self) -> Iterator[None]:
        with self._reading(), self._one_moment, connections.at_one_moment(self._reader):
            yield

    # --- files beside it ---

    def executor_lock_fd(self) -> int | None:
        return self._executor.lock_descriptor

    def log_path(self, run_id: str) -> Path:
        if not self._read_only:
            private_folder(self.place.logs)
        return self.place.log_path(run_id)

    def payload(self, data: bytes | mmap, descriptor: int | None = None) -> dict[str, JSON]:
        if self._read_only:
            raise StoreError(f"the store {self.path} was opened to be read only")
        digest, path = self._payloads.keep(data, descriptor)
        return {"file": str(path), "bytes": len(data), "sha256": digest}

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


@contextmanager
def _failures_told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise failures.from_sqlite(error, path) from error
    except OSError as error:
        raise failures.from_system(error, path) from error
