"""A store to try things on, and scripts that use one from a process of their own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import agentctl
from agentctl.core.events import RunCreated, RunStarted
from agentctl.ports import Append, Lease, NewRun, Progress
from agentctl.store.db.schema import SCHEMA
from agentctl.store.ledger import Ledger, open_store

# Every script begins with this; `store` is opened at the path given as the first argument.
PRELUDE = """
import asyncio, os, resource, signal, sys
from pathlib import Path
from agentctl.core.events import *
from agentctl.errors import *
from agentctl.ports import *
from agentctl.store.ledger import open_store

def new_run(run_id, **more):
    return NewRun(created=RunCreated(at=1.0, run_id=run_id, name="demo", kind="loop", version="v1", **more))

def progress(status="running", **more):
    finished = 9.0 if status in FINISHED else None
    return Progress(**{"started_at": 2.0, "finished_at": finished, "steps_done": 0, "steps_total": 3, **more}, status=status)

def say(*words):
    print(*words, flush=True)

path = Path(sys.argv[1])
"""

Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".agentctl" / "agentctl.db"


@pytest.fixture
def store(path: Path) -> Iterator[Ledger]:
    opened = open_store(path, patience=0.2)
    yield opened
    opened.close()


@pytest.fixture
def tables() -> Iterator[sqlite3.Connection]:
    """The tables of a store, empty and in memory, for queries that are looked at closely."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    yield connection
    connection.close()


@pytest.fixture
def scans() -> Callable[..., list[str]]:
    """What a statement reads from end to end, as SQLite plans it; lists that are given to it do not count."""

    def scanned(connection: sqlite3.Connection, statement: str, parameters: int) -> list[str]:
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statement, ("[]",) * parameters)]
        return [step for step in plan if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]

    return scanned


@pytest.fixture
def measured() -> Callable[..., tuple[Any, int]]:
    """What a read comes to, and how many instructions of SQLite's machine it took."""

    def measure(connection: sqlite3.Connection, read: Callable[[], Any]) -> tuple[Any, int]:
        instructions = 0

        def count() -> int:
            nonlocal instructions
            instructions += 1
            return 0

        connection.set_progress_handler(count, 1)
        found = read()
        connection.set_progress_handler(None, 1)
        return found, instructions

    return measure


@pytest.fixture
def script(path: Path) -> Iterator[Script]:
    """Start Python source as a process; its standard input and output are text pipes. It is killed with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(
        source: str, *, at: Path = path, prelude: str = PRELUDE, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", prelude + textwrap.dedent(source), str(at)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(agentctl.__file__).parent.parent), **(env or {})},
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def new_run() -> Callable[..., NewRun]:
    def make(run_id: str, **more: Any) -> NewRun:
        created = {"at": 1.0, "name": "demo", "kind": "loop", "version": "v1", **more}
        return NewRun(created=RunCreated(run_id=run_id, **created))

    return make


@pytest.fixture
def append() -> Callable[..., Append]:
    """An append of RunStarted, unless other events are given."""

    def make(lease: Lease, head: int, *events: Any, **more: Any) -> Append:
        progress = Progress(status="running", started_at=2.0, finished_at=None, steps_done=0, steps_total=3)
        return Append(lease=lease, head=head, events=events or (RunStarted(at=2.0),), progress=progress, **more)

    return make
