"""The methods of `ports.Upkeep` and `Files`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import closing
from mmap import mmap
from pathlib import Path

from agentctl import JSON
from agentctl.errors import StoreError
from agentctl.ports import Pruned
from agentctl.store.db import failures
from agentctl.store.db.files import private_folder
from agentctl.store.db.locks import lock_owner, process_lives
from agentctl.store.parts.connected import Connected


class UpkeepMethods(Connected):
    """Each hands what it was given to a room of the store."""

    def check_writable(self) -> Awaitable[None]:
        from agentctl.store.runs.changes import CheckWritable

        return self._submit(CheckWritable())

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
            self._listener = Listener(self.location.wake, wake)
        except OSError:
            return False
        return True

    def serve(self) -> None:
        from agentctl.store.db.locks import ServeLock

        with failures.raised_as_ours(self.path):
            self._serve_lock = ServeLock(self.location.serve, self.path)

    def serving(self) -> int | None:
        with failures.raised_as_ours(self.path):
            return lock_owner(self.location.serve)

    def owner_process(self, owner: str) -> int | None:
        with failures.raised_as_ours(self.path):
            return lock_owner(self.location.executors / owner)

    def is_dead(self, owner: str) -> bool:
        process = self.owner_process(owner)
        return process is None or (process > 0 and not process_lives(process))

    def prunable(self, now: float, keep: float) -> Pruned:
        from agentctl.store.upkeep.prunable import Terms, count

        with self._reading(), closing(self._open_reader()) as reader:
            return count(reader, Terms(reader, now, keep))

    async def prune(self, now: float, keep: float, pause: Callable[[], Awaitable[None]]) -> Pruned:
        from agentctl.store.upkeep.prune import prune

        with self._reading():
            return await prune(self.location, self._open_reader, self._submit, now, keep, pause)

    def log_path(self, run_id: str) -> Path:
        if not self._read_only:
            private_folder(self.location.logs)
        return self.location.log_path(run_id)

    def payload(self, data: bytes | mmap, descriptor: int | None = None) -> dict[str, JSON]:
        if self._read_only:
            raise StoreError(f"the store {self.path} was opened to be read only")
        digest, path = self._payloads.keep(data, descriptor)
        return {"file": str(path), "bytes": len(data), "sha256": digest}
