"""Ten thousand waiting runs are rows: what wakes one of them seeks in indexes and reads none of the others."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from agentctl.store import events, waits
from agentctl.store.events import waits_for
from agentctl.store.schema import SCHEMA

COUNT = 10_000


@pytest.fixture
def crowd() -> Iterator[sqlite3.Connection]:
    """A store's tables with ten thousand runs, each of which waits for an event of its own."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    numbers = range(1, COUNT + 1)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO runs (key, id, name, kind, version, status, trigger, created_at, input, head)"
        " VALUES (?, ?, 'demo', 'loop', 'v', 'waiting', 'manual', 1, '{}', 1)",
        [(n, f"run{n}") for n in numbers],
    )
    connection.executemany(
        "INSERT INTO waits (run, path, kind, since, name, digest) VALUES (?, 'paid', 'event', 1, ?, '')",
        [(n, f"order.{n}.paid") for n in numbers],
    )
    connection.execute("COMMIT")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (events.FITTING_WAITS, 1),
        (events.ANY_WAIT_BETWEEN, 2),
        (events.EVENTS_NAMED, 2),
        (events.EVENTS_BETWEEN, 3),
        (waits.OF_RUN, 1),
        (waits.FOR_PEOPLE, 0),
    ],
)
def test_no_query_scans_a_table(crowd: sqlite3.Connection, statement: str, parameters: int) -> None:
    plan = [row[3] for row in crowd.execute("EXPLAIN QUERY PLAN " + statement, ("[]",) * parameters)]
    scans = [step for step in plan if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]
    # the inbox reads the index that holds nothing but waits for people
    assert [step for step in scans if "waits_for_person" not in step] == []


def test_waking_one_of_ten_thousand_reads_a_handful_of_rows(crowd: sqlite3.Connection) -> None:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    crowd.set_progress_handler(count, 1)  # called at every instruction of SQLite's machine
    found = waits_for(crowd, "order.4711.paid")
    crowd.set_progress_handler(None, 1)
    assert found == [("run4711", "paid")]
    assert steps < 1_000
