"""The methods of `ports.Journals`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable, Sequence

from agentctl.core.events import AnyEvent, Error
from agentctl.ports import Append, Appended, Lease, RunStatus, StoredDefinition
from agentctl.store.parts.connected import Connected
from agentctl.store.runs import reads


class JournalMethods(Connected):
    """Each hands what it was given to a room of the store."""

    def acquire(self, run_ids: Sequence[str], at: float | None = None) -> Awaitable[list[Lease]]:
        from agentctl.store.runs.changes import Acquire

        return self._submit(Acquire(run_ids, time.time() if at is None else at))

    def append(self, entry: Append) -> Awaitable[Appended]:
        from agentctl.store.runs.append import prepare

        return self._submit(prepare(entry, self._payloads), now=entry.alone)

    def release(self, leases: Sequence[Lease], *, status: RunStatus | None = None, error: Error | None = None) -> Awaitable[None]:
        from agentctl.store.runs.changes import Release

        return self._submit(Release(leases, status, self._payloads.json(error)))

    def executor_lock_fd(self) -> int | None:
        return self._executor.lock_descriptor

    def journal(self, run_id: str, after: int = 0, *, lenient: bool = False) -> Iterable[AnyEvent]:
        with self._reading():
            return reads.journal(self._reader, self._payloads, run_id, after, lenient=lenient)

    def snapshot(self, run_id: str) -> tuple[int, bytes] | None:
        with self._reading():
            return reads.snapshot(self._reader, run_id)

    def last_event_times(self, run_ids: Sequence[str]) -> dict[str, float]:
        with self._reading():
            return reads.last_event_times(self._reader, self._payloads, run_ids)

    def register(self, stored: StoredDefinition) -> Awaitable[None]:
        from agentctl.store.runs.definitions import registration

        return self._submit(registration(stored))

    def definition(self, version: str) -> StoredDefinition | None:
        from agentctl.store.runs.definitions import read

        with self._reading():
            return read(self._reader, version)
