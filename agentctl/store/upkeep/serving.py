"""Whether `agentctl serve` lives: it holds a lock on `serve.lock` beside the store for as long as it does.

The kernel gives the lock back when the process is gone, however it died; so nobody serves exactly when the lock can be taken.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from agentctl.errors import StoreBusy
from agentctl.store.db.lock_owner import holder

SERVE_LOCK = "serve.lock"


class ServeLock:
    """Held from its making to `close`. Raises StoreBusy, naming the process, while another one serves the store."""

    def __init__(self, lock: Path, store: Path) -> None:
        self._descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        while not self._take():
            pid = holder(lock)
            if pid is not None:  # else it was somebody who only asked whether anybody serves
                os.close(self._descriptor)
                by = f"process {pid}" if pid else "another process"
                raise StoreBusy(f"the store {store} is being served already, by {by}")
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def _take(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self._descriptor)
