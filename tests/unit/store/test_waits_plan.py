"""Ten thousand waiting runs are rows: what wakes one of them seeks in indexes and reads none of the others."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from agentctl.store.events import offers, waits
from agentctl.store.events.offers import Listening, waits_for
from agentctl.store.runs import waitfor

COUNT = 10_000


@pytest.fixture
def crowd(tables: sqlite3.Connection) -> sqlite3.Connection:
    """A store's tables with ten thousand runs, each of which waits for an event of its own."""
    numbers = range(1, COUNT + 1)
    tables.execute("BEGIN")
    tables.executemany(
        "INSERT INTO runs (key, id, name, kind, version, status, trigger, created_at, input, head)"
        " VALUES (?, ?, 'demo', 'loop', 'v', 'waiting', 'manual', 1, '{}', 1)",
        [(n, f"run{n}") for n in numbers],
    )
    tables.executemany(
        "INSERT INTO waits (run, path, kind, since, name, digest) VALUES (?, 'paid', 'event', 1, ?, '')",
        [(n, f"order.{n}.paid") for n in numbers],
    )
    tables.execute("COMMIT")
    return tables


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (offers.FITTING_WAITS, 1),
        (offers.ANY_WAIT_BETWEEN, 2),
        (offers.NAMED, 4),
        (offers.BETWEEN, 5),
        (offers.REFUSED, 2),
        (waits.OF_RUN, 1),
        (waits.FOR_PEOPLE, 0),
    ],
)
def test_no_query_scans_a_table(
    crowd: sqlite3.Connection, scans: Callable[..., list[str]], statement: str, parameters: int
) -> None:
    # the inbox reads the index that holds nothing but waits for people
    assert [step for step in scans(crowd, statement, parameters) if "waits_for_person" not in step] == []


@pytest.mark.parametrize(("statement", "parameters"), [(waitfor.AWAITED, 0), (waitfor.CLAIMED, 0), (waitfor.IN_QUEUE, 1)])
def test_who_waits_for_whom_is_found_among_those_who_wait(
    crowd: sqlite3.Connection, scans: Callable[..., list[str]], statement: str, parameters: int
) -> None:
    # both hold rows only as long as somebody waits, or has a claim
    assert [step for step in scans(crowd, statement, parameters) if step not in ("SCAN a", "SCAN c")] == []


def test_waking_one_of_ten_thousand_reads_a_handful_of_rows(crowd: sqlite3.Connection, measured: Callable[..., Any]) -> None:
    found, work = measured(crowd, lambda: waits_for(crowd, "order.4711.paid"))
    assert found == [Listening(4711, "run4711", "paid", False)]
    assert work < 1_000
