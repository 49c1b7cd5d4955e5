"""A backup of a store that is in use: one tar file with the database, the large outputs and the logs.

The database is copied through SQLite from a connection that only reads: one snapshot, taken while others write, and as harmless
to the write-ahead log as any other reader (see `lockfile`). The copy is checked before anything else is done with it. Large
outputs are written before the commit that refers to them and are never altered, so those that the snapshot refers to are all
there; the lock on their folder keeps pruning from removing them meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agentctl.errors import StoreCorrupt, StoreError, StoreFull, StoreMissing, UsageError
from agentctl.store.db import connection as connections
from agentctl.store.db import failures, schema
from agentctl.store.db.files import sync_folder
from agentctl.store.db.location import StoreLocation
from agentctl.store.upkeep.orphan_files import holding_files

_PATIENCE = 10.0  # seconds
_COMPRESSED = (".gz", ".tgz")


class Backup(msgspec.Struct, frozen=True):
    """`runs`: how many it holds.  `files`: large outputs and logs.  `bytes`: of the whole."""

    file: Path
    runs: int
    files: int
    bytes: int


def back_up(path: Path, target: Path) -> Backup:
    """Write a backup of the store at `path` to `target`, a new file; compressed when its name ends with .gz or .tgz.

    The file appears under its name when it is whole and on the disk, with mode 0600. Raises UsageError (`target` exists, or its
    folder does not), StoreMissing, StoreCorrupt (the store fails SQLite's check; nothing is written), StoreFull (no room for the
    backup), StoreError.
    """
    place = StoreLocation(path)
    place.check(read_only=True)
    target = target.absolute()
    if os.path.lexists(target):
        raise UsageError(f"{target} exists; a backup overwrites nothing: give a new name")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}; make it first")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            copy, aside = Path(folder) / "copy", Path(folder) / target.name
            with holding_files(place, shared=True):
                runs = _copy_database(place, copy)
                files = _pack(place, copy, aside)
            size = aside.stat().st_size
            aside.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise _file_error(error, target) from error
    return Backup(target, runs, files, size)


def _copy_database(place: StoreLocation, copy: Path) -> int:
    """Copy and check the database; returns how many runs it holds."""
    _create_private(copy)
    try:
        reader = connections.open_for_reading(place.path, _PATIENCE)
    except sqlite3.Error as error:
        raise failures.from_sqlite(error, place.path) from error
    try:
        version = schema.stored_version(reader)
        schema.refuse_foreign(reader, version, place.path)
        if version == 0:
            raise StoreMissing(f"the store {place.path} is empty")
        with contextlib.closing(sqlite3.connect(copy)) as into:
            into.execute("PRAGMA synchronous = OFF")  # the tar file is what has to last
            reader.backup(into)  # all pages at once: in steps, it would begin again with every commit of others
    except sqlite3.Error as error:
        raise _database_error(error, place, copy) from error
    finally:
        reader.close()
    return _check(place, copy)


def _check(place: StoreLocation, copy: Path) -> int:
    with contextlib.closing(connections.open_unchanging(copy)) as reader:
        try:
            wrong = [str(row[0]) for row in reader.execute("PRAGMA integrity_check(3)")]
            orphans = reader.execute("PRAGMA foreign_key_check").fetchall()
            runs: int = reader.execute("SELECT count(*) FROM runs").fetchone()[0]
        except sqlite3.Error as error:
            raise failures.from_sqlite(error, place.path) from error
    if orphans:
        wrong.append(f"{len(orphans)} rows of {orphans[0][0]} refer to nothing")
    if [line for line in wrong if line != "ok"]:
        raise StoreCorrupt(f"the store {place.path} is damaged, so no backup was written: {'; '.join(wrong)}")
    return runs


def _pack(place: StoreLocation, copy: Path, aside: Path) -> int:
    """Write the tar file, and wait until it is on the disk; returns how many files it holds beside the database."""
    _create_private(aside)
    count = 0
    compression = "gz" if aside.name.endswith(_COMPRESSED) else ""
    with aside.open("r+b") as file:
        with tarfile.open(fileobj=file, mode=f"w:{compression}") as tar:  # type: ignore[call-overload]  # either is a mode of it
            tar.add(copy, place.path.name, filter=_private)
            for path, name in _files(place):
                with contextlib.suppress(FileNotFoundError):  # a log that was pruned, with its run, since the snapshot
                    tar.add(path, name, recursive=False, filter=_private)
                    count += path.is_file()
        file.flush()
        os.fsync(file.fileno())
    return count


def _files(place: StoreLocation) -> Iterator[tuple[Path, str]]:
    """Folders, and the files in them: (where, name in the backup). Names with a dot first are not whole yet."""
    for folder in (place.payloads, place.logs):
        if folder.is_dir():
            yield folder, folder.name
            yield from ((path, f"{folder.name}/{path.name}") for path in sorted(folder.iterdir()) if path.name[0] != ".")


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode = 0o700 if member.isdir() else 0o600
    return member


def _create_private(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _database_error(error: sqlite3.Error, place: StoreLocation, copy: Path) -> StoreError:
    found = failures.from_sqlite(error, place.path)
    return _full(copy.parent) if isinstance(found, StoreFull) else found


def _file_error(error: OSError, target: Path) -> StoreError:
    if failures.is_full(error):
        return _full(target.parent)
    return StoreError(f"the backup {target} cannot be written: {error.strerror or error} ({error.filename or target})")


def _full(folder: Path) -> StoreFull:
    why = "the disk is full or a file-size limit is reached"
    return StoreFull(f"no room for the backup in {folder}: {why}; nothing was left there")
