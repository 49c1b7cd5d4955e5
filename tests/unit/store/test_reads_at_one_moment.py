"""A look at the store is a look at one moment of it, though other processes write between its queries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from msgspec import structs

from agentctl.core.flow import Limits, Window
from agentctl.ports import HistoryFilter, Progress
from agentctl.store.ledger import Ledger, open_store


@pytest.fixture
def meanwhile(store: Ledger, path: Path) -> Callable[[str, Callable[[Ledger], None]], None]:
    """Have another executor write just before the reader's first query that begins so."""

    def arrange(query: str, write: Callable[[Ledger], None]) -> None:
        def on_query(text: str) -> None:
            if text.lstrip().startswith(query):
                store._reader.set_trace_callback(None)
                writing = Thread(target=in_another)
                writing.start()
                writing.join()

        def in_another() -> None:
            other = open_store(path)
            try:
                write(other)
            finally:
                other.close()

        store._reader.set_trace_callback(on_query)

    return arrange


def test_a_run_whose_turn_comes_while_it_is_looked_at_disturbs_nobody(store: Ledger, new_run, meanwhile) -> None:
    throttle = Limits(throttle=Window("demo throttle", 1, 60.0))

    async def scenario() -> None:
        await store.create([structs.replace(new_run(run_id), limits=throttle) for run_id in ("first", "second")])
        await store.acquire(["first"], 10.0)

    asyncio.run(scenario())
    meanwhile("SELECT per, capacity FROM places", lambda other: taken(other, "second", 100.0))

    assert store.next_due(20.0) == 70.0


def test_a_run_that_is_pruned_while_the_history_is_read_disturbs_nobody(store: Ledger, new_run, append, meanwhile) -> None:
    async def scenario() -> None:
        await store.create([new_run("old")])
        [lease] = await store.acquire(["old"])
        ended = Progress(status="succeeded", started_at=2.0, finished_at=9.0, steps_done=0, steps_total=0)
        await store.append(structs.replace(append(lease, lease.head), progress=ended, release=True))

    asyncio.run(scenario())
    meanwhile("SELECT id, name", lambda other: pruned(other, 1e9))

    assert [row.id for row in store.history(HistoryFilter())] == ["old"]
    assert store.history(HistoryFilter()) == []


def taken(store: Ledger, run_id: str, at: float) -> None:
    async def take() -> None:
        assert await store.acquire([run_id], at)

    asyncio.run(take())


def pruned(store: Ledger, at: float) -> None:
    asyncio.run(store.prune(at, 0.0, lambda: asyncio.sleep(0)))
