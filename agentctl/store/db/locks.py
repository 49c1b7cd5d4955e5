"""The locks of a store: files beside it, each locked by `flock` for as long as a process works.

The kernel gives a lock back when the process is gone, however it died; so a lock that can be taken has no living holder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from agentctl.errors import StoreBusy
from agentctl.store.db.files import open_descriptor

_FIRST_PAUSE = 0.0002  # seconds between tries: about one commit, growing to
_LONGEST_PAUSE = 0.01


def lock_owner(path: Path, *, remove: bool = False) -> int | None:
    """The process that holds the lock, as it wrote into the file; None: none does. 0: it has not written its id.

    A shared lock is tried, so that two who look at once do not take each other for the holder; for a file of another user the
    kernel's list is read. `remove`: a file that nobody holds, before anybody can. Raises OSError when it cannot be determined.
    """
    try:
        descriptor = open_descriptor(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except PermissionError:
        return listed_holder(path.stat())
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(descriptor, 32).strip()
        return int(text) if text.isdigit() else 0
    else:
        if remove:
            with contextlib.suppress(OSError):
                path.unlink()
        return None
    finally:
        os.close(descriptor)


def process_lives(pid: int) -> bool:
    """Whether there is a process of that id which has not ended; a zombie has. One that cannot be looked at counts as alive."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in ("Z", "X")
    except ProcessLookupError:
        return False
    except OSError:
        return True


def listed_holder(found: os.stat_result) -> int | None:
    """The process that holds the lock on a file, as the kernel lists it; None: none does.

    Raises OSError where there is no such list (it is Linux's, and of one process namespace).
    """
    wanted = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == wanted and int(fields[4]) > 0:
            return int(fields[4])
    return None


class WriteLock:
    """The lock that every writer holds around BEGIN .. COMMIT, and around opening, migrating and closing.

    SQLite locks by itself; this lock is there because SQLite before 3.51.3 (3.50.7, 3.44.6) can corrupt a write-ahead log
    when two connections write or checkpoint at the same instant. It is a file of its own: closing any descriptor of the
    database itself would drop SQLite's POSIX locks. Used by one thread at a time; `patience` is in seconds.
    """

    def __init__(self, path: Path, store: Path, patience: float) -> None:
        self.path = path
        self.store = store
        self.patience = patience
        self._descriptor = open_descriptor(path, os.O_CREAT | os.O_RDWR)

    def __enter__(self) -> None:
        if not self.take():
            self._wait()

    def __exit__(self, *_: object) -> None:
        self.release()

    def take(self) -> bool:
        """True: it is ours, to be given back by `release`. False: another process has it now."""
        return _take(self._descriptor)

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
        """The process that holds the lock, where the system lists it."""
        try:
            return listed_holder(os.fstat(self._descriptor))
        except OSError:
            return None

    def close(self) -> None:
        os.close(self._descriptor)


class ServeLock:
    """Held by `agentctl serve` from its making to `close`. Raises StoreBusy, naming the process, while another one holds it."""

    def __init__(self, lock: Path, store: Path) -> None:
        self._descriptor = open_descriptor(lock, os.O_CREAT | os.O_RDWR)
        while not _take(self._descriptor):
            pid = lock_owner(lock)
            if pid is not None:  # else it was a process that only asked for the holder
                os.close(self._descriptor)
                by = f"process {pid}" if pid else "another process"
                raise StoreBusy(f"the store {store} is being served already, by {by}")
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def close(self) -> None:
        os.close(self._descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
