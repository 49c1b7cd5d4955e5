"""What `agentctl doctor` reports on a store: its location, its content, its permissions. Nothing is changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from agentctl.errors import StoreError
from agentctl.language.sizes import format_size
from agentctl.ports import Finding
from agentctl.store.db import connection as connections
from agentctl.store.db import failures, schema
from agentctl.store.db.location import NETWORK, StoreLocation, file_system_type

_LITTLE = 1 << 30  # bytes of free room under which we warn
_TOO_LITTLE = 64 << 20  # a few checkpoints of the write-ahead log
_THOROUGH = 256 << 20  # up to this size every index is compared with its table, which takes about a second
_LONG_LOG = 256 << 20  # bytes of a write-ahead log that is not copied back
_PATIENCE = 5.0  # seconds


def examine(path: Path) -> list[Finding]:
    """All findings on the store at `path`, also when there is none yet."""
    place = StoreLocation(path)
    found = [*_sqlite(), *_disk(place)]
    if not place.path.exists():
        message = f"there is no store at {place.path} yet; the first run makes it"
        return [*found, *_writable(place), Finding("store", "ok", message)]
    return [*found, *_writable(place), *_content(place), *_permissions(place)]


def has_wal_bug(version: tuple[int, ...]) -> bool:
    """Whether this SQLite may damage a write-ahead log when two connections write or checkpoint at the same instant.

    Fixed in 3.51.3, 3.50.7 and 3.44.6 (https://sqlite.org/wal.html).
    """
    if version >= (3, 51, 3):
        return False
    return not ((3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45))


def _sqlite() -> Iterator[Finding]:
    if has_wal_bug(sqlite3.sqlite_version_info):
        yield Finding(
            "sqlite",
            "warning",
            f"SQLite {sqlite3.sqlite_version} can damage a database when two programs write at the same instant; agentctl itself"
            " never does, it writes under a lock of its own",
            "let no other program write to the store while agentctl runs, or use a Python with SQLite 3.51.3 or newer",
        )
    else:
        yield Finding("sqlite", "ok", f"SQLite {sqlite3.sqlite_version}")


def _disk(place: StoreLocation) -> Iterator[Finding]:
    folder = next(folder for folder in (place.folder, *place.folder.parents) if folder.exists())
    kind = file_system_type(folder)
    if kind in NETWORK:
        fix = "put the store on a local disk: `store:` in agentctl.yaml, $AGENTCTL_DB or --db"
        message = f"{place.folder} is on a network file system ({kind}), where locks do not hold"
        yield Finding("store.disk", "error", message, fix)
    free = shutil.disk_usage(folder).free
    room = f"{format_size(free)} free at {folder}"
    if free < _LITTLE:
        yield Finding("store.disk", "error" if free < _TOO_LITTLE else "warning", f"only {room}", "make room on that disk")
    else:
        yield Finding("store.disk", "ok", room + (f", {kind}" if kind else ""))


def _writable(place: StoreLocation) -> Iterator[Finding]:
    try:
        place.check(read_only=False)
    except StoreError as error:
        if file_system_type(place.folder) not in NETWORK:  # that was reported above
            fix = f"let {place.folder} be a folder that you may write to, or choose another store by `store:` in agentctl.yaml"
            yield Finding("store", "error", str(error), fix)


def _content(place: StoreLocation) -> Iterator[Finding]:
    """Does it open, is it ours, is it whole?"""
    try:
        reader = connections.open_for_reading(place.path, _PATIENCE)
        try:
            yield from _version(reader, place)
            yield from _journal_mode(reader, place)
            yield from _integrity(reader, place)
            if schema.stored_version(reader) == schema.VERSION:
                from agentctl.store.upkeep import contents

                yield from contents.shape(reader)
                yield from contents.payloads(reader, place)
        finally:
            reader.close()
    except sqlite3.Error as error:
        found = failures.from_sqlite(error, place.path)
        yield Finding("store", "error", str(found), f"move {place.path} (with -wal and -shm) away and restore a backup")
    except StoreError as error:
        fix = "update agentctl, or choose another store by --db or `store:` in agentctl.yaml"
        yield Finding("store", "error", str(error), fix)


def _version(reader: sqlite3.Connection, place: StoreLocation) -> Iterator[Finding]:
    version = schema.stored_version(reader)
    schema.refuse_foreign(reader, version, place.path)
    if version == 0:
        yield Finding("store", "ok", f"{place.path} is empty; the next run makes its tables")
    elif version < schema.VERSION:
        yield Finding("store", "ok", f"{place.path} has version {version}; the next run brings it to {schema.VERSION}")
    else:
        runs = reader.execute("SELECT count(*) FROM runs").fetchone()[0]
        size = format_size(place.path.stat().st_size)
        yield Finding("store", "ok", f"{place.path} opens: version {version}, {runs:,} runs, {size}")


def _journal_mode(reader: sqlite3.Connection, place: StoreLocation) -> Iterator[Finding]:
    mode = reader.execute("PRAGMA journal_mode").fetchone()[0]
    log = place.path.with_name(place.path.name + "-wal")
    length = log.stat().st_size if log.exists() else 0
    if mode != "wal" and schema.stored_version(reader):
        fix = f"while no agentctl runs: sqlite3 {quote(str(place.path))} 'PRAGMA journal_mode = WAL'"
        yield Finding("store.wal", "error", f"the journal mode is {mode}, but readers and the writer need WAL", fix)
    elif length > _LONG_LOG:
        fix = "end programs that keep the store open for reading; the log shrinks when the last one closes it"
        yield Finding("store.wal", "warning", f"the write-ahead log has grown to {format_size(length)}", fix)
    else:
        yield Finding("store.wal", "ok", f"write-ahead log: {format_size(length)}")


def _integrity(reader: sqlite3.Connection, place: StoreLocation) -> Iterator[Finding]:
    check = "integrity_check" if place.path.stat().st_size <= _THOROUGH else "quick_check"
    wrong = [str(row[0]) for row in reader.execute(f"PRAGMA {check}(3)")]
    orphans = reader.execute("PRAGMA foreign_key_check").fetchall()
    if orphans:
        wrong = [line for line in wrong if line != "ok"] + [f"{len(orphans)} rows of {orphans[0][0]} refer to nothing"]
    if wrong != ["ok"]:
        fix = f"restore a backup; what can be read is saved by: sqlite3 {quote(str(place.path))} .recover"
        yield Finding("store.integrity", "error", f"SQLite finds the store damaged: {'; '.join(wrong)}", fix)
    else:
        yield Finding("store.integrity", "ok", f"PRAGMA {check} finds nothing")


def _permissions(place: StoreLocation) -> Iterator[Finding]:
    """Outputs of steps can be private: no other user should be able to read them."""
    files = [place.path, place.lock, *(place.path.with_name(place.path.name + tail) for tail in ("-wal", "-shm"))]
    folders = [place.folder, place.executors, place.payloads, place.logs]
    open_to_others = [*_open_to_others(folders, 0o700), *_open_to_others(files, 0o600)]
    if not open_to_others:
        yield Finding("store.permissions", "ok", "no other user can read the store")
    for path, mode, wanted in open_to_others:
        fix = f"chmod {wanted:o} {quote(str(path))}"
        yield Finding("store.permissions", "warning", f"other users can look into {path} (mode {mode:04o})", fix)


def _open_to_others(paths: list[Path], wanted: int) -> Iterator[tuple[Path, int, int]]:
    for path in paths:
        try:
            mode = stat.S_IMODE(os.stat(path).st_mode)
        except FileNotFoundError:
            continue
        if mode & 0o077:
            yield path, mode, wanted
