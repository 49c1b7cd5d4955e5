"""The lock that every writer of a store holds around BEGIN .. COMMIT, and around opening, migrating and closing.

SQLite locks by itself; this lock is there because SQLite before 3.51.3 (3.50.7, 3.44.6) can corrupt a write-ahead log
when two connections write or checkpoint at the same instant. It is a file of its own: closing any descriptor of the
database itself would drop SQLite's POSIX locks.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from agentctl.errors import StoreBusy

_FIRST_PAUSE = 0.0002  # seconds between tries: about one commit, growing to
_LONGEST_PAUSE = 0.01


class WriteLock:
    """`flock` on one file. Used by one thread at a time; `patience` is in seconds."""

    def __init__(self, path: Path, store: Path, patience: float) -> None:
        self.path = path
        self.store = store
        self.patience = patience
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        if not self.take():
            self._wait()

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self) -> bool:
        """True: it is ours, to be given back by `release`. False: another process has it now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _wait(self) -> None:
        """Polls, because a blocked flock cannot be given up again without a signal."""
        deadline = time.monotonic() + self.patience
        pause = _FIRST_PAUSE
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            if self.take():
                return
        holder = self.holder()
        by = f"process {holder}" if holder else "another process"
        raise StoreBusy(f"the store {self.store} is locked by {by}, for {self.patience:g} s already; try again when that is done")

    def holder(self) -> int | None:
        """The process that holds the lock, where the system tells (Linux, same process namespace)."""
        found = os.fstat(self._descriptor)
        wanted = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        try:
            lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        for line in lines:
            fields = line.split()
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == wanted and int(fields[4]) > 0:
                return int(fields[4])
        return None

    def close(self) -> None:
        os.close(self._descriptor)
