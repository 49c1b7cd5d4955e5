"""Looking up what an event starts seeks in an index, however many triggers there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from agentctl.store import deployments
from agentctl.store.schema import SCHEMA

COUNT = 5_000


@pytest.fixture
def crowd() -> Iterator[sqlite3.Connection]:
    """A store's tables with thousands of definitions, each triggered by events of its own."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO deployments (name, kind, file, version, deployed_at, gone) VALUES (?, 'loop', '', 'v', 1, 0)",
        [(f"loop-{number}",) for number in range(COUNT)],
    )
    connection.executemany(
        "INSERT INTO subscriptions (pattern, name, trigger) VALUES (?, ?, 0)",
        [(f"order.{number}.*", f"loop-{number}") for number in range(COUNT)],
    )
    connection.execute("COMMIT")
    yield connection
    connection.close()


def test_what_one_of_thousands_of_triggers_waits_for_reads_a_handful_of_rows(crowd: sqlite3.Connection) -> None:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    crowd.set_progress_handler(count, 1)  # called at every instruction of SQLite's machine
    found = deployments.subscriptions(crowd, "order.4711.paid")
    crowd.set_progress_handler(None, 1)
    assert [subscription.name for subscription in found] == ["loop-4711"]
    assert steps < 1_000
