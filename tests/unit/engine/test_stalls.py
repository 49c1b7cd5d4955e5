"""Which runs of a real store make no progress."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentctl.cli.queries import stalled_runs, stalls
from agentctl.core.events import CancelRequested, RunCreated, RunStarted, StepStarted
from agentctl.core.flow import Limits, Place
from agentctl.language.load import load_text
from agentctl.ports import Append, HistoryFilter, Lease, NewRun, Progress, Reply, RunRow, StoredDefinition
from agentctl.store.ledger import Ledger, open_store

T0 = 1000.0
TEXT = "loop: demo\nsteps: [{shell: x, id: quick, timeout: 5m}, {shell: y, id: slow}]\n"
HOUR = 3600.0


@pytest.fixture
def open_one(tmp_path: Path) -> Iterator[Callable[[], Ledger]]:
    opened: list[Ledger] = []

    def factory() -> Ledger:
        opened.append(open_store(tmp_path / "agentctl.db"))
        return opened[-1]

    yield factory
    for store in opened:
        store.close()


@pytest.fixture
def store(open_one: Callable[[], Ledger]) -> Ledger:
    return open_one()


def do(work: Callable[[], Awaitable[Any]]) -> Any:
    async def wait() -> Any:
        return await work()

    return asyncio.run(wait())


def stored() -> StoredDefinition:
    return load_text(TEXT)


def new_run(run_id: str = "r1", **more: Any) -> NewRun:
    created = RunCreated(at=T0, run_id=run_id, name="demo", kind="loop", version=stored().version)
    return NewRun(created=created, **more)


async def at_work(store: Ledger, *events: Any, status: Any = "running", **progress: Any) -> Lease:
    await store.register(stored())
    await store.create([new_run()])
    [lease] = await store.acquire(["r1"])
    told = Progress(status=status, started_at=T0, finished_at=None, steps_done=0, steps_total=2, **progress)
    await store.append(Append(lease=lease, head=1, events=[RunStarted(at=T0), *events], progress=told))
    return lease


def since(store: Ledger, now: float) -> float | None:
    rows = store.history(HistoryFilter())
    return stalls(store, rows, now).get("r1")


def attempt(path: str) -> StepStarted:
    return StepStarted(at=T0, path=path, attempt=1, input={"run": "x"})


def test_a_queued_run_that_nobody_takes_stalls_since_it_was_made(store: Ledger) -> None:
    do(lambda: store.create([new_run()]))
    assert since(store, T0 + 30) is None
    assert since(store, T0 + 61) == T0


def test_a_queued_run_that_stands_in_line_does_not_stall(store: Ledger) -> None:
    async def two() -> None:
        limits = Limits(places=(Place("demo", 1),))
        await store.create([new_run(limits=limits)])
        await store.acquire(["r1"])
        await store.create([new_run("r2", limits=limits)])

    do(two)
    rows = store.history(HistoryFilter(status=("queued",)))
    assert "r2" in [row.id for row in rows]
    assert "r2" not in stalls(store, rows, T0 + HOUR)


def test_an_interrupted_run_stalls_since_it_was_last_heard_of(open_one: Callable[[], Ledger]) -> None:
    first = open_one()
    do(lambda: at_work(first, attempt("slow")))
    first.close()  # its leases end with it
    store = open_one()
    assert store.history(HistoryFilter())[0].status == "interrupted"
    assert since(store, T0 + 61) == T0


def test_a_run_at_work_stalls_when_its_attempts_are_past_their_timeouts(store: Ledger) -> None:
    do(lambda: at_work(store, attempt("quick")))
    assert since(store, T0 + 300) is None
    assert since(store, T0 + 361) == T0


def test_a_run_at_work_without_a_timeout_stalls_after_an_hour(store: Ledger) -> None:
    do(lambda: at_work(store, attempt("slow")))
    assert since(store, T0 + HOUR) is None
    assert since(store, T0 + HOUR + 61) == T0


def test_a_run_that_waits_stalls_once_its_time_has_come_and_not_before(store: Ledger) -> None:
    do(lambda: at_work(store, status="waiting", wake_at=T0 + HOUR))
    assert since(store, T0 + HOUR + 30) is None
    assert since(store, T0 + HOUR + 61) == T0 + HOUR


def test_a_run_that_waits_for_an_event_never_stalls(store: Ledger) -> None:
    do(lambda: at_work(store, status="waiting"))
    assert since(store, T0 + 1000 * HOUR) is None


def test_a_run_whose_mail_nobody_reads_stalls_since_the_oldest_came(store: Ledger) -> None:
    async def mailed() -> None:
        await at_work(store, status="waiting")
        for at in (T0 + 5, T0 + 9):
            await store.post([Reply("r1", CancelRequested(at=at))])

    do(mailed)
    assert since(store, T0 + 60) is None
    assert since(store, T0 + 66) == T0 + 5


def test_what_has_finished_does_not_stall_and_costs_no_look(store: Ledger) -> None:
    row = RunRow(id="r1", name="demo", kind="loop", version="v", status="failed")
    assert stalls(store, [row], T0 + HOUR) == {}


def test_the_stalled_ones_are_found_among_all(store: Ledger) -> None:
    do(lambda: store.create([new_run(f"r{number}") for number in range(5)]))
    do(lambda: store.acquire(["r3"]))
    found = stalled_runs(store, T0 + 61)
    assert sorted((row.id, at) for row, at in found) == [(f"r{number}", T0) for number in (0, 1, 2, 4)]
    assert len(stalled_runs(store, T0 + 61, HistoryFilter(limit=2))) == 2
    assert stalled_runs(store, T0 + 61, HistoryFilter(status=("running",))) == []
    assert stalled_runs(store, T0 + 61, HistoryFilter(status=("succeeded",))) == []
