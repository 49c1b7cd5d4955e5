"""Ten thousand runs in the queue are rows: who may start, and who may not, is found without reading the others."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentctl.store.limits import admission, queue
from agentctl.store.runs.executors import Liveness

COUNT = 10_000


@pytest.fixture
def crowd(tables: sqlite3.Connection) -> sqlite3.Connection:
    """A store's tables: one run has the place of `a concurrency`, ten thousand wait for it; one waits for a throttle."""
    tables.execute("BEGIN")
    tables.executemany(
        "INSERT INTO runs (key, id, name, kind, version, status, trigger, created_at, input, head, in_line)"
        " VALUES (?, ?, 'a', 'loop', 'v', ?, 'manual', 1, '{}', 1, ?)",
        [(n, f"run{n}", "waiting" if n == 1 else "queued", int(n > 1)) for n in range(1, COUNT + 3)],
    )
    tables.executemany(
        "INSERT INTO places (run, grp, capacity, rank, held) VALUES (?, 'a concurrency', 1, 0, ?)",
        [(n, int(n == 1)) for n in range(1, COUNT + 2)],
    )
    tables.execute("INSERT INTO places (run, grp, capacity, per, rank, held) VALUES (?, 'b throttle', 1, 60, 0, 0)", (COUNT + 2,))
    tables.execute("INSERT INTO starts (grp, at, until) VALUES ('b throttle', 100, 160)")
    tables.execute("COMMIT")
    return tables


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (queue.HELD, 1),
        (queue.BEGAN, 2),
        (queue.STARTED, 3),
        (queue.IN_QUEUE, 4),
        (queue.NEEDS, 1),
        (queue.GROUPS, 0),
        (queue.HEAD, 1),
        (queue.ENDS, 3),
        (admission.FIRST, 2),
        (admission.RATE_ENDS, 3),
        (admission.MEMBERS, 1),
        (admission.HELD_ABOVE, 1),
    ],
)
def test_no_query_scans_a_table(
    crowd: sqlite3.Connection, scans: Callable[..., list[str]], statement: str, parameters: int
) -> None:
    # what is scanned is what a recursive query has found so far, and constants
    assert [
        step for step in scans(crowd, statement, parameters) if step not in ("SCAN queues", "SCAN above", "SCAN CONSTANT ROW")
    ] == []


def test_who_may_start_is_found_without_reading_those_who_may_not(
    crowd: sqlite3.Connection, measured: Callable[..., Any], tmp_path: Path
) -> None:
    liveness = Liveness(tmp_path, tmp_path / "serve.lock")
    assert queue.heads(crowd, liveness, 120.0, 1000) == []
    assert queue.heads(crowd, liveness, 160.0, 1000) == [COUNT + 2]
    assert queue.next_opening(crowd, 120.0) == 160.0
    assert measured(crowd, lambda: queue.next_opening(crowd, 120.0))[1] < 3_000
    assert measured(crowd, lambda: queue.heads(crowd, liveness, 120.0, 1000))[1] < 4_000
    crowd.execute("UPDATE places SET held = NULL WHERE run = 1")
    assert queue.heads(crowd, liveness, 120.0, 1000) == [2]
    assert measured(crowd, lambda: queue.heads(crowd, liveness, 120.0, 1000))[1] < 4_000


def test_what_a_run_in_line_waits_for_is_found_at_once(
    crowd: sqlite3.Connection, measured: Callable[..., Any], tmp_path: Path
) -> None:
    liveness = Liveness(tmp_path, tmp_path / "serve.lock")
    found = queue.queue_position(crowd, liveness, f"run{COUNT}", 120.0, "me")
    assert found is not None
    assert found.reason == "waits for a place: concurrency 1 of a is held by run run1"
    assert measured(crowd, lambda: queue.queue_position(crowd, liveness, f"run{COUNT}", 120.0, "me"))[1] < 3_000
