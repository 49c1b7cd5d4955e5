"""Who holds the lock on a file: a process that lives, for the kernel gives locks back however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


def holder(path: Path, *, remove: bool = False) -> int | None:
    """The process that holds the lock, as it wrote into the file; None: nobody does. 0 where it has not said yet who it is.

    A shared lock is tried, so that two who look at once do not take each other for the holder. `remove`: a file that nobody
    holds, before anybody can. Raises OSError, such as for a file of another user.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.read(descriptor, 32).strip()
        return int(said) if said.isdigit() else 0
    else:
        if remove:
            with contextlib.suppress(OSError):
                path.unlink()
        return None
    finally:
        os.close(descriptor)
