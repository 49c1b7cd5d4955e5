"""Who is alive. An executor is a process that leases runs; it holds a lock on a file of its own for as long as it lives.

The kernel gives the lock back the moment the process is gone, however it died (kill -9, out of memory, a closed
container of the same host), and never before. So on one machine a lease needs no expiry, no heartbeat and no clock: an
owner is dead exactly when its file is missing or its lock can be taken. A process that is merely slow, stopped or asleep
keeps its runs. Across machines nothing of this would hold; stores on network file systems are refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from pathlib import Path

from agentctl.store.db.files import open_descriptor, private_folder
from agentctl.store.db.locks import lock_owner


class Executor:
    """This process as an owner of leases. The file exists from `start` to `stop`."""

    def __init__(self, folder: Path, serve_lock: Path) -> None:
        self.id = uuid.uuid4().hex
        self.folder = folder
        self.serve_lock = serve_lock
        self._path = folder / self.id
        self._descriptor: int | None = None

    @property
    def started(self) -> bool:
        return self._descriptor is not None

    @property
    def lock_descriptor(self) -> int | None:
        """See `Journals.executor_lock_fd`."""
        return self._descriptor

    def start(self) -> None:
        """Become an owner. The descriptor closes on exec: only a child that gets it by `pass_fds` keeps this owner alive.

        Another process may look between the creation and the lock, take us for dead and remove the file: then it is made again.
        Files of dead executors are removed here: nothing else looks at those that died without a lease.
        """
        private_folder(self.folder)
        others = self.liveness(remove=True)
        for name in os.listdir(self.folder):
            others.alive(name)
        while self._descriptor is None:
            descriptor = open_descriptor(self._path, os.O_CREAT | os.O_RDWR)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _same_file(descriptor, self._path):
                os.truncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                self._descriptor = descriptor
            else:
                os.close(descriptor)

    def liveness(self, *, remove: bool = False) -> Liveness:
        return Liveness(self.folder, self.serve_lock, remove=remove)

    def stop(self) -> None:
        if self._descriptor is None:
            return
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = None


class Liveness:
    """Answers of one call, so that a thousand runs of one owner cost one look. `remove`: tidy away the files of the dead."""

    def __init__(self, folder: Path, serve_lock: Path, *, remove: bool = False) -> None:
        self._folder = folder
        self._serve_lock = serve_lock
        self._remove = remove
        self._known: dict[str, bool] = {}
        self._served: bool | None = None

    def attended(self, owner: str | None) -> bool:
        """Whether somebody alive will drive a run of that owner on: the owner itself, or `serve`, which takes on every run."""
        if self.alive(owner):
            return True
        if self._served is None:
            self._served = lock_owner(self._serve_lock) is not None
        return self._served

    def alive(self, owner: str | None) -> bool:
        if owner is None:
            return False
        answer = self._known.get(owner)
        if answer is None:
            answer = self._known[owner] = self._look(owner)
        return answer

    def _look(self, owner: str) -> bool:
        try:
            return lock_owner(self._folder / owner, remove=self._remove) is not None
        except OSError:
            return True  # one that cannot be looked at is not ours to judge dead


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)
