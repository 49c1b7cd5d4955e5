"""Open and make files below the store's folder, without following links.

Whoever owns the folder may have put anything there. A link in the place of one of our files would have us write to a file of
somebody else, a FIFO would have us wait for ever. So every file is opened here, and is a regular file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def open_descriptor(path: Path, flags: int) -> int:
    """Open a regular file; a new one gets mode 0600. It closes on exec.

    Raises OSError, for a link or another kind of file too.
    """
    try:
        # NONBLOCK: a FIFO is refused rather than waited for; regular files know no such mode.
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link; the store follows none", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading. Raises OSError."""
    return open(open_descriptor(path, os.O_RDONLY), "rb")


def is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def private_folder(folder: Path) -> bool:
    """Make `folder` with mode 0700, and its parents as usual, unless it is there; True: it was made.

    Raises OSError for a link.
    """
    try:
        found = folder.lstat()
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISDIR(found.st_mode):
            raise OSError(errno.ENOTDIR, "it is a link or a file; a folder was expected", str(folder))
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)
    return True


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a file survives a power cut only if its name does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
