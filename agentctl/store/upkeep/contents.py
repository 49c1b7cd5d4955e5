"""What `doctor` finds within a store: do its tables have the shape of this version, and are all large outputs there?"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.db import Table

from agentctl.ports import Finding
from agentctl.store.db import schema
from agentctl.store.db.files import open_file
from agentctl.store.db.location import StoreLocation

_HASHED = 256 << 20  # bytes of large outputs whose content is compared with their names, which takes about a second
_MOST_NAMED = 3
REFERENCE = re.compile(r"^(?:#[0-9a-f]{32})?@([0-9a-f]{64})|\\/payloads/([0-9a-f]{64})")


def shape(reader: sqlite3.Connection) -> Iterator[Finding]:
    """Compare tables, columns and indexes with those of a new store: some other program may have altered them."""
    new = Database(memory=True, execute_plugins=False)
    new.executescript(schema.SCHEMA)
    there, wanted = _parts(Database(reader, execute_plugins=False)), _parts(new)
    new.close()
    missing = sorted(wanted - there)
    if missing:
        fix = "restore a backup; some other program has altered the tables"
        yield Finding("store.schema", "error", f"the store lacks {_some(missing)}", fix)
    else:
        yield Finding("store.schema", "ok", "all tables, columns and indexes are there")


def _parts(database: Database) -> set[str]:
    found = set()
    for table in _tables(database):
        found.add(f"table {table.name}")
        found |= {f"column {table.name}.{column.name}" for column in table.columns}
        found |= {f"index {index.name}" for index in table.indexes if index.origin == "c"}
    return found


def _tables(database: Database) -> list[Table]:
    return [database.table(name) for name in database.table_names()]


def payloads(reader: sqlite3.Connection, place: StoreLocation) -> Iterator[Finding]:
    """Look for every large output that the store refers to, and compare content with names as far as time allows."""
    files, left = 0, _HASHED
    problems: dict[str, str] = {}  # hash -> what is wrong
    owners: dict[str, set[str]] = {}
    for name, owner in references(reader):
        owners.setdefault(name, set()).add(owner)
        if len(owners[name]) == 1:
            files += 1
            size, problem = _examined(place.payloads / name, left)
            left -= size
            if problem:
                problems[name] = problem
    for name, problem in problems.items():
        fix = "restore the file from a backup; else resume what needs it from an earlier step, or prune it"
        yield Finding("store.payloads", "error", f"{place.payloads / name} {problem}; {_some(sorted(owners[name]))}", fix)
    if not problems:
        yield Finding("store.payloads", "ok", f"{files:,} large outputs are there")


def references(reader: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """(hash, what refers to it) of every large output that a text of the store names."""
    database = Database(reader, execute_plugins=False)
    for table in _tables(database):
        texts = [column.name for column in table.columns if column.type == "TEXT"]
        where = " OR ".join(f"{name} LIKE '@%' OR {name} LIKE '#%@%' OR instr({name}, '\\/payloads/')" for name in texts)
        if not where:
            continue
        for row in table.rows_where(where):
            owner = _owner(database, table.name, row)
            for text in texts:
                for match in REFERENCE.finditer(row[text] or ""):
                    yield match[1] or match[2], owner


def _owner(database: Database, table: str, row: dict[str, object]) -> str:
    if table == "runs":
        return f"run {row['id']}"
    key = row.get("run")
    if isinstance(key, int):
        return f"run {database.table('runs').get(key)['id']}"
    return f"table {table}"


def _examined(path: Path, left: int) -> tuple[int, str]:
    """Bytes that were read, and what is wrong ("": nothing)."""
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > left:
                return 0, ""
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return 0, f"cannot be read ({error.strerror or error})"
    return size, "" if digest == path.name else "is not what was written: its content does not fit its name"


def _some(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
