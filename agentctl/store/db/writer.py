"""One thread writes. It takes everything that waits, commits it together, and answers the event loop once per batch.

While a commit is flushed to disk the next batch gathers, so a hundred concurrent runs share one flush. A run acts on an
event only after its answer, which is sent after the commit that holds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from agentctl.core.events import CancelRequested
from agentctl.errors import AgentctlError, LeaseLost, StoreBusy, StoreError, StoreFull, StoreMissing
from agentctl.ports import FINISHED
from agentctl.store.db import failures
from agentctl.store.db.failpoint import commit
from agentctl.store.db.location import StoreLocation
from agentctl.store.db.locks import WriteLock
from agentctl.store.db.reserve import Reserve
from agentctl.store.db.session import Disagreement, Session
from agentctl.store.runs import append
from agentctl.store.runs.append import PreparedAppend
from agentctl.store.runs.changes import Acquire, Change, CheckWritable, Post, Register, ReleaseAll

Job = PreparedAppend | Change
Answer = tuple["asyncio.Future[Any]", object]  # an exception, or the result

# Not the disk's fault but an entry's: its batch is written again, entry by entry, so that the others do not suffer.
_OF_ONE_ENTRY = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


class Writer:
    """`wake_others`: called after a commit that may concern other processes; it must not raise.

    `on_commit`: called with the seconds that each commit took, in the thread that made it; None: nobody wants to know.
    """

    on_commit: Callable[[float], None] | None = None

    def __init__(self, session: Session, place: StoreLocation, lock: WriteLock, wake_others: Callable[[], None]) -> None:
        self._session = session
        self._wake_others = wake_others
        self._place = place
        self._file = place.identity()
        self._lock = lock
        self._reserve = Reserve(place.reserve)
        self._reserve.fill()
        self._queue: queue.SimpleQueue[tuple[Job, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._idle = threading.Lock()  # held while the connection is in use
        self.foreign = False  # another connection has committed, and it was not reported yet
        self._data_version = self._read_data_version()
        self._thread = threading.Thread(target=self._run, name="agentctl-store", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> asyncio.Future[Any]:
        """Hand a job in; the future, of the running loop, is done once the job is durable. Cancelling it undoes nothing."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put((job, future))
        return future

    def write_now(self, job: Job) -> asyncio.Future[Any]:
        """The same in the caller's thread, which spares two changes of thread; as `submit` if the writer or another process is
        busy."""
        if self._queue.qsize() or not self._idle.acquire(blocking=False):
            return self.submit(job)
        try:
            if not self._lock.take():
                return self.submit(job)
            try:
                result = self._write([job], self._commit_locked)[0]
            finally:
                self._lock.release()
        finally:
            self._idle.release()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        _resolve([(future, result)])
        if _concerns_others(job):
            self._wake_others()
        return future

    def foreign_write(self) -> bool:
        """True once after another connection committed.

        The number SQLite gives changes only by others' commits. While a batch is under way the thread itself has looked.
        Raises StoreMissing.
        """
        self._check_file()
        if self._idle.acquire(blocking=False):
            try:
                self._look_for_others()
            finally:
                self._idle.release()
        answer, self.foreign = self.foreign, False
        return answer

    def close(self) -> None:
        """Write what waits, give every lease back, and close the connection within the lock: SQLite checkpoints as it closes."""
        self._queue.put(None)
        self._thread.join()
        try:
            if self._session.executor.started:
                self._commit([ReleaseAll()])
            with self._lock:
                self._session.connection.close()
        except (StoreError, sqlite3.Error, OSError):
            # Whatever is left is safe in the log, and our leases end with this process.
            self._session.connection.close()

    # --- the thread ---

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            batch.extend(self._queue.get() for _ in range(self._queue.qsize()))
            jobs = [item for item in batch if item is not None]
            if jobs:
                results = self._write([job for job, _ in jobs], self._commit)
                _answer([(future, result) for (_, future), result in zip(jobs, results, strict=True)])
                if any(_concerns_others(job) for job, _ in jobs):
                    self._wake_others()
            if len(jobs) < len(batch):
                return

    def _write(self, jobs: Sequence[Job], commit: Callable[[Sequence[Job]], list[object]]) -> Sequence[object]:
        """One result or exception per job. Never raises: the thread outlives every error."""
        try:
            results = commit(jobs)
            self._reserve.fill_again()
            return results
        except (StoreBusy, StoreMissing) as error:
            return [error] * len(jobs)
        except Exception as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, _OF_ONE_ENTRY):
                error = _caused(failures.from_sqlite(error, self._place.path), error)
                if not isinstance(error, StoreFull):
                    return [error] * len(jobs)
            if isinstance(error, StoreFull):
                return self._write_to_a_full_disk(jobs, commit, error)
            if len(jobs) > 1:
                return [self._write([job], commit)[0] for job in jobs]
            return [self._refusal(jobs[0], error)]

    def _write_to_a_full_disk(
        self, jobs: Sequence[Job], commit: Callable[[Sequence[Job]], list[object]], full: StoreFull
    ) -> Sequence[object]:
        """Write what cancels runs in the room that is reserved for it; the rest is refused."""
        results: list[object] = [full] * len(jobs)
        urgent = [number for number, job in enumerate(jobs) if cancels(job)]
        while urgent and self._reserve.give_back():
            try:
                answers = commit([jobs[number] for number in urgent])
            except (sqlite3.Error, StoreFull):
                continue
            for number, answer in zip(urgent, answers, strict=True):
                results[number] = answer
            break
        return results

    def _commit(self, jobs: Sequence[Job]) -> list[object]:
        with self._idle, self._lock:
            return self._commit_locked(jobs)

    def _commit_locked(self, jobs: Sequence[Job]) -> list[object]:
        connection = self._session.connection
        self._check_file()
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._look_for_others()
            results = self._perform(jobs)
            commit(connection)
        except BaseException:
            self._session.rolled_back()
            # After an I/O error SQLite may have rolled back by itself; a second ROLLBACK would hide the first error.
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise
        self._session.committed()
        if self.on_commit is not None:
            self.on_commit(time.perf_counter() - began)
        return results

    def _perform(self, jobs: Sequence[Job]) -> list[object]:
        """Write all jobs in their order; neighbouring appends of different runs go together, and so do leases, after them.

        (Nobody appends under a lease that was not acknowledged, so one that is given later in a batch comes too late for none.)
        """
        results: list[object] = [None] * len(jobs)
        wave: dict[str, tuple[int, PreparedAppend]] = {}
        claims: dict[int, Acquire] = {}
        for number, job in enumerate(jobs):
            if isinstance(job, PreparedAppend):
                if job.entry.lease.run_id in wave:
                    self._flush(wave, results)
                try:
                    append.check(self._session, job.entry)
                except LeaseLost as error:
                    results[number] = error
                else:
                    wave[job.entry.lease.run_id] = number, job
            elif isinstance(job, Acquire):
                claims[number] = job
            else:
                self._flush(wave, results)
                self._lease(claims, results)
                results[number] = job.perform(self._session)
        self._flush(wave, results)
        self._lease(claims, results)
        return results

    def _flush(self, wave: dict[str, tuple[int, PreparedAppend]], results: list[object]) -> None:
        if wave:
            answers = append.write_wave(self._session, [job for _, job in wave.values()])
            for (number, _), answer in zip(wave.values(), answers, strict=True):
                results[number] = answer
            wave.clear()

    def _lease(self, claims: dict[int, Acquire], results: list[object]) -> None:
        """One look for all; a run that two ask for goes to the first."""
        if claims:
            wanted = [run_id for claim in claims.values() for run_id in claim.run_ids]
            now = max(claim.at for claim in claims.values())
            given = {lease.run_id: lease for lease in Acquire(wanted, now).perform(self._session)}
            for number, claim in claims.items():
                results[number] = [given.pop(run_id) for run_id in dict.fromkeys(claim.run_ids) if run_id in given]
            claims.clear()

    def _refusal(self, job: Job, error: Exception) -> Exception:
        """The error for one entry that alone could not be written. A bug reaches its awaiter as it is."""
        if isinstance(error, Disagreement):
            if not isinstance(job, PreparedAppend):
                return _caused(StoreError(f"the store {self._place.path} changed under our lock"), error)
            self._session.forget(job.entry.lease.run_id)
            return _caused(LeaseLost(f"run {job.entry.lease.run_id} is not ours any more: another process took it over"), error)
        if isinstance(error, sqlite3.Error):
            return _caused(failures.from_sqlite(error, self._place.path), error)
        if isinstance(error, OSError):
            return _caused(failures.from_system(error, self._place.path), error)
        return error

    def _check_file(self) -> None:
        """What is written to a file that has lost its name is lost to all other processes, without an error."""
        if self._place.identity() != self._file:
            raise StoreMissing(f"the store {self._place.path} was removed while it was in use; another is in its place")

    def _look_for_others(self) -> None:
        found = self._read_data_version()
        if found != self._data_version:
            self._data_version = found
            self.foreign = True

    def _read_data_version(self) -> int:
        number: int = self._session.connection.execute("PRAGMA data_version").fetchone()[0]
        return number


def _concerns_others(job: Job) -> bool:
    """Whether another process may wait for what the job wrote. A step that leads to the next step concerns no other process."""
    if isinstance(job, PreparedAppend):
        entry = job.entry
        return bool(entry.progress.status in FINISHED or entry.release or entry.replies or entry.emitted or entry.keys)
    return not isinstance(job, Acquire | CheckWritable | Register)


def cancels(job: Job) -> bool:
    """Whether the job asks a run to end, or writes that it was cancelled: possible on a full disk, too."""
    if isinstance(job, PreparedAppend):
        requested = any(isinstance(event, CancelRequested) for event in job.entry.events)
        return requested or job.entry.progress.status == "cancelled"
    return isinstance(job, Post) and job.cancels


def _caused(error: AgentctlError, cause: Exception) -> AgentctlError:
    error.__cause__ = cause
    return error


def _answer(answers: Sequence[Answer]) -> None:
    """Resolve the futures, with one hand-over per event loop. A loop that is gone needs no answer."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer[0].get_loop(), []).append(answer)
    for loop, share in by_loop.items():
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, share)


def _resolve(answers: Sequence[Answer]) -> None:
    for future, result in answers:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
