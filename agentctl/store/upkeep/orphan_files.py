"""The files beside a store that nothing refers to any more: large outputs and logs of runs that were pruned.

Large outputs are named by their hash and may be shared by any number of rows, so what is in use is found by looking at all text
that the store holds, and at the large outputs that are in use themselves (a kept event may name the file of an output). What
looks like a reference counts as one. A file is kept before the commit that refers to it, so only those that are older than GRACE
are looked at; and keeping one again makes it young (`payloads`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

from agentctl.store.db.files import open_file
from agentctl.store.db.location import StoreLocation

GRACE = 86_400.0  # seconds
_PAGE = 2_000  # rows looked at in one reading transaction: a long one would keep the log from being copied back
_GULP = 1 << 20  # bytes of a file
HASH = re.compile(r"[0-9a-f]{64}")
_HASH_IN_BYTES = re.compile(rb"[0-9a-f]{64}")
_OVERLAP = 63  # bytes: a hash may lie across two gulps


@contextlib.contextmanager
def holding_files(place: StoreLocation, *, shared: bool) -> Iterator[bool]:
    """While inside, no sweep runs (`shared`), or no backup is made. False, in the second case: a backup is being made."""
    try:
        descriptor = os.open(place.payloads, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True  # nothing is kept; what will be is too young to be swept for long
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def sweep(place: StoreLocation, open_reader: Callable[[], sqlite3.Connection]) -> tuple[int, int]:
    """Remove what nothing refers to; returns how many files, and their bytes. Does nothing while a backup is being made, or
    when another store lives in the same folder, whose files these may be. Raises sqlite3.Error, OSError."""
    if not place.payloads.is_dir() and not place.logs.is_dir():
        return 0, 0
    with holding_files(place, shared=False) as ours:
        if not ours or _is_shared(place):
            return 0, 0
        with contextlib.closing(open_reader()) as reader:
            removed = [*_sweep_payloads(place.payloads, reader), *_sweep_logs(place.logs, reader)]
    return len(removed), sum(removed)


def _is_shared(place: StoreLocation) -> bool:
    locks = place.folder.glob("*.lock")
    return any(lock != place.lock and lock.with_suffix("").exists() for lock in locks)


def _sweep_payloads(folder: Path, reader: sqlite3.Connection) -> Iterator[int]:
    """The size of each file that was removed."""
    unused = {path.name for path in _old_files(folder)}
    if not unused:
        return
    todo = [name for name in _named(reader) if name in unused]
    young = [path.name for path in folder.iterdir() if path.name not in unused]
    todo += [name for path in young for name in named_in(folder / path) if name in unused]
    while todo:  # what is in use may itself name others
        name = todo.pop()
        if name in unused:
            unused.discard(name)
            todo += [other for other in named_in(folder / name) if other in unused]
    for name in sorted(unused):
        size = _remove(folder / name)
        if size is not None:
            yield size


def _remove(path: Path) -> int | None:
    """Its size; None: it became young since we looked, so it stays.

    It is taken out of the way first: a process that keeps the same content from now on does not find it, and writes it again.
    """
    gone = path.with_name(f".{path.name}.gone")
    try:
        path.rename(gone)
        found = gone.stat()
        if time.time() - found.st_mtime < GRACE:
            gone.rename(path)
            return None
        gone.unlink()
    except FileNotFoundError:
        return None
    return found.st_size


def _sweep_logs(folder: Path, reader: sqlite3.Connection) -> Iterator[int]:
    """Of runs that are no more: pruning removes the log with its run, unless the process ends between the two."""
    for path in _old_files(folder):
        run_id = unquote(path.name.removesuffix(".jsonl"))
        if reader.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone() is None:
            with contextlib.suppress(FileNotFoundError):
                size = path.stat().st_size
                path.unlink()
                yield size


def _old_files(folder: Path) -> Iterator[Path]:
    """Those older than GRACE, also what a process that died while writing left behind."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime >= GRACE:
                yield path


def _named(reader: sqlite3.Connection) -> Iterator[str]:
    """Every hash that text of the store may mean as a file: `@HASH`, or the path of one in `payloads/`."""
    tables = reader.execute("SELECT name, sql LIKE '%WITHOUT ROWID%' FROM sqlite_master WHERE type = 'table'").fetchall()
    for table, keyed in tables:
        columns = [row[1] for row in reader.execute(f"PRAGMA table_info ({table})") if row[2] == "TEXT"]
        if columns:
            yield from _named_in_table(reader, table, columns, paged=not keyed)


def _named_in_table(reader: sqlite3.Connection, table: str, columns: list[str], *, paged: bool) -> Iterator[str]:
    fits = " OR ".join(f"{column} LIKE '@%' OR {column} LIKE '#%@%' OR instr({column}, 'payloads/')" for column in columns)
    chosen = ", ".join(columns)
    if not paged:  # the small ones
        yield from _hashes(reader.execute(f"SELECT {chosen} FROM {table} WHERE {fits}").fetchall())
        return
    last, end = 0, reader.execute(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()[0]
    while last < end:
        page = f"SELECT {chosen} FROM {table} WHERE rowid > ? AND rowid <= ? AND ({fits})"
        yield from _hashes(reader.execute(page, (last, last + _PAGE)).fetchall())
        last += _PAGE


def _hashes(rows: list[tuple[str | None, ...]]) -> Iterator[str]:
    for row in rows:
        for text in row:
            if text is not None:
                yield from HASH.findall(text)


def named_in(path: Path) -> set[str]:
    """Every hash in the content of a file."""
    found: set[str] = set()
    tail = b""
    try:
        with open_file(path) as file:
            while gulp := file.read(_GULP):
                found.update(match.decode() for match in _HASH_IN_BYTES.findall(tail + gulp))
                tail = (tail + gulp)[-_OVERLAP:]
    except FileNotFoundError:
        pass
    return found
