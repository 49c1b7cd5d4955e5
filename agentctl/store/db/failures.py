"""Turn errors of SQLite and of the system into a StoreError: one sentence that a user can act on."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentctl.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull

# Extended codes of SQLITE_IOERR that mean "could not grow a file": a full disk on some file systems, RLIMIT_FSIZE on all.
_NO_ROOM = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_TRUNCATE}
_NO_ROOM_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# The primary result code is the low byte of an extended one (https://sqlite.org/rescode.html).
_PRIMARY = 0xFF


def from_sqlite(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the StoreError for `error`, raised while using the store at `path`."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & _PRIMARY
    if code in _NO_ROOM or primary == sqlite3.SQLITE_FULL:
        return full(path)
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(f"the store {path} is damaged or is no SQLite database ({error}); restore a backup of it")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"the store {path} is locked by another process; try again when that has finished")
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return StoreError(f"the store {path} cannot be opened for writing: {error}")
    return StoreError(f"the store {path} cannot be used: {error}")


def from_system(error: OSError, path: Path) -> StoreError:
    """Return the StoreError for an OSError on a file of the store at `path`."""
    if is_full(error):
        return full(path)
    return StoreError(f"the store {path} cannot be used: {error.strerror or error} ({error.filename or path})")


def is_full(error: OSError) -> bool:
    """Whether there was no room for what was to be written."""
    return error.errno in _NO_ROOM_ERRNO


def full(path: Path) -> StoreFull:
    return StoreFull(f"no room for the store {path}: the disk is full or a file-size limit is reached; nothing recorded was lost")


@contextmanager
def raised_as_ours(path: Path) -> Iterator[None]:
    """Raise errors of SQLite and of the system as a StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise from_sqlite(error, path) from error
    except OSError as error:
        raise from_system(error, path) from error
