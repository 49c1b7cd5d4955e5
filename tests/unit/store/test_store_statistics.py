"""How the figures of `stats` are found."""

from __future__ import annotations

import sqlite3

import pytest

from agentctl.store.db import schema
from agentctl.store.runs import statistics


@pytest.mark.parametrize("query", [statistics._OF_ALL, statistics._OF_ONE])
def test_figures_of_a_short_time_do_not_read_the_whole_store(query: str) -> None:
    connection = sqlite3.connect(":memory:")
    for statement in schema.SCHEMA.split(";\n"):
        connection.execute(statement)
    [row] = connection.execute(f"EXPLAIN QUERY PLAN {query}", {"since": 1.0, "name": "demo"}).fetchall()
    assert row[3].startswith("SEARCH runs USING INDEX")
    assert "created_at>?" in row[3]
    connection.close()


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([1.0], 0.95, 1.0), ([1.0, 2.0], 0.5, 1.0), ([float(n) for n in range(1, 101)], 0.95, 95.0)],
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], share: float, expected: float | None) -> None:
    assert statistics.percentile(values, share) == expected
