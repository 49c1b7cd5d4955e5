"""A file that keeps a little room on the disk, so that a run can be cancelled when the disk is full.

It is given back to the disk in two halves, one for the request and one for what the run then writes, and made again when there is
room.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from agentctl.store.db.files import open_descriptor

SIZE = 1 << 20  # bytes
_PAUSE = 30.0  # seconds between tries to make it again


class Reserve:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_spent = False
        self._tried_at = 0.0

    def fill(self) -> None:
        """Take the room, unless it is taken. A disk without room is no error."""
        with contextlib.suppress(OSError):
            descriptor = open_descriptor(self._path, os.O_CREAT | os.O_WRONLY)
            try:
                size = os.fstat(descriptor).st_size
                if size < SIZE:
                    self._take(descriptor, size)
            finally:
                os.close(descriptor)

    def _take(self, descriptor: int, size: int) -> None:
        try:
            os.posix_fallocate(descriptor, 0, SIZE)
        except OSError:
            os.ftruncate(descriptor, size)  # what was taken in part is needed by others
            raise
        self._is_spent = False

    def fill_again(self) -> None:
        """As `fill`, after it was given back: now and then."""
        if self._is_spent and time.monotonic() - self._tried_at > _PAUSE:
            self._tried_at = time.monotonic()
            self.fill()

    def give_back(self) -> bool:
        """Give half of the room to the disk; False: there is none left."""
        self._is_spent = True
        self._tried_at = time.monotonic()
        with contextlib.suppress(OSError):
            descriptor = open_descriptor(self._path, os.O_WRONLY)
            try:
                size = os.fstat(descriptor).st_size
                os.ftruncate(descriptor, size - SIZE // 2 if size > SIZE // 2 else 0)
            finally:
                os.close(descriptor)
            return size > 0
        return False
