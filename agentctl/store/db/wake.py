"""How the processes of a store wake each other: a named pipe for each that listens, into which a writer puts a byte.

A pipe needs no daemon, has no limit on its path's length as sockets have, works the same on Linux and macOS, and ends with its
reader: a pipe whose process died has no reader; a writer notices, and removes it.
A byte says only that there is something to look for. One that is lost costs the time until the listener looks by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
import uuid
from collections.abc import Callable
from pathlib import Path

from agentctl.store.db.files import private_folder

_A_GULP = 65_536  # bytes: what a pipe holds


class Listener:
    """The end that is woken. `wake` is called in the running event loop, once for all the bytes that have come."""

    def __init__(self, folder: Path, wake: Callable[[], None]) -> None:
        """Raises OSError where the file system knows no named pipes."""
        private_folder(folder)
        self._path = folder / uuid.uuid4().hex
        self._wake = wake
        os.mkfifo(self._path, 0o600)
        # Opened for writing as well: else it would count as ended, and be readable for ever, whenever no writer has it open.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._read)

    @property
    def name(self) -> str:
        return self._path.name

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, _A_GULP)
        self._wake()

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def wake_others(folder: Path, own: str | None) -> None:
    """Wake every listener but `own`. Never raises: the work is committed, and everybody looks by himself sooner or later."""
    try:
        listeners = os.listdir(folder)
    except OSError:
        return  # there was never a listener
    for name in listeners:
        if name != own:
            _wake(folder / name)


def _wake(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no reader: its process is dead
            with contextlib.suppress(OSError):
                path.unlink()
        return
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):  # whatever else lies there is none of ours
        with contextlib.suppress(OSError):  # full: the listener has been woken often enough
            os.write(descriptor, b"\0")
    os.close(descriptor)
