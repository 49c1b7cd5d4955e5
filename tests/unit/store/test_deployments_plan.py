"""Looking up what an event starts seeks in an index, however many triggers there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from agentctl.store.schedules import deployments

COUNT = 5_000


@pytest.fixture
def crowd(tables: sqlite3.Connection) -> sqlite3.Connection:
    """A store's tables with thousands of definitions, each triggered by events of its own."""
    tables.execute("BEGIN")
    tables.executemany(
        "INSERT INTO deployments (name, kind, file, version, deployed_at, gone, root) VALUES (?, 'loop', '', 'v', 1, 0, '..')",
        [(f"loop-{number}",) for number in range(COUNT)],
    )
    tables.executemany(
        "INSERT INTO subscriptions (pattern, name, trigger) VALUES (?, ?, 0)",
        [(f"order.{number}.*", f"loop-{number}") for number in range(COUNT)],
    )
    tables.execute("COMMIT")
    return tables


def test_what_one_of_thousands_of_triggers_waits_for_reads_a_handful_of_rows(
    crowd: sqlite3.Connection, measured: Callable[..., Any]
) -> None:
    found, work = measured(crowd, lambda: deployments.subscriptions(crowd, "order.4711.paid"))
    assert [subscription.name for subscription in found] == ["loop-4711"]
    assert work < 1_000
