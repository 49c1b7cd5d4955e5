"""Timekeepers that are killed at every commit, and two that race: afterwards each slot has one row, and one run if it fired."""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from agentctl.model import Trigger
from agentctl.ports import HistoryFilter, StoredDefinition
from agentctl.service.parts.scheduler import Scheduler
from agentctl.service.problems import Problems
from agentctl.store.db import failpoint
from agentctl.store.ledger import Ledger, open_store
from agentctl.testing.clock import VirtualClock
from agentctl.testing.definitions import set_step, stored

NOON = 1_780_315_200.0
MINUTE = 60.0
LOOP = stored(
    "heartbeat",
    set_step("a", b=1),
    triggers=(Trigger("every", "1m", {"catch_up": "all", "max": 20}), Trigger("cron", "*/5 * * * *", {"catch_up": "latest"})),
)
FAR_MORE_THAN_ENOUGH = 500


class Deployed:
    """What a deployer with one loop says."""

    def __init__(self, definition: StoredDefinition) -> None:
        self.on_change: list[Callable[[], None]] = []
        self._definition = definition

    def definitions(self) -> Mapping[str, StoredDefinition]:
        return {self._definition.definition.name: self._definition}

    def paused(self) -> Mapping[str, StoredDefinition]:
        return {}


class Driver:
    def collect(self) -> None:
        pass


async def serve(store: Ledger, definition: StoredDefinition, begin: float, end: float) -> None:
    """A service that comes up at one time and goes at another."""
    clock = VirtualClock(begin)
    keeper = Scheduler(store, Driver(), clock, Deployed(definition), {}, Problems())
    await store.register(definition)
    await keeper.begin()
    while (again := await keeper.tick()) <= end:
        clock.set(max(again, clock.now()))


async def story(store: Ledger) -> None:
    await serve(store, LOOP, NOON, NOON + 6 * MINUTE)
    await serve(store, LOOP, NOON + 50 * MINUTE, NOON + 56 * MINUTE)


def in_a_child(path: Path, live: Callable[[Ledger], object]) -> int:
    """Starts a process that opens the store and lives; returns its id. To be called while no store is open here."""
    child = os.fork()
    if child:
        return child
    try:
        live(open_store(path))
        os._exit(0)
    except BaseException:  # nothing of the parent's may go on in the child
        traceback.print_exc()
        os._exit(1)


def is_killed(child: int) -> bool:
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed; see its traceback"
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def check(store: Ledger, schedule: str, period: float, end: float) -> Counter[str]:
    """Every slot of the schedule from its first to the last before `end` has one row."""
    rows = store.slots("heartbeat", schedule, limit=10**6)[::-1]
    first = rows[0].slot
    assert [row.slot for row in rows] == [first + number * period for number in range(round((end - first) // period) + 1)]
    for row in rows:
        assert (row.outcome == "fired") == (row.run_id is not None)
        created = None if row.run_id is None else next(iter(store.journal(row.run_id)))
        assert created is None or created.scheduled_at == row.slot
    return Counter(row.outcome for row in rows)


def check_runs(store: Ledger) -> None:
    """There is no run without a slot."""
    runs = sorted(run.id for run in store.history(HistoryFilter(limit=10**6)))
    assert runs == sorted(row.run_id for row in store.slots(limit=10**6) if row.run_id is not None)


def test_killed_at_any_commit_every_slot_has_one_row_and_one_run(tmp_path: Path) -> None:
    for point in range(1, FAR_MORE_THAN_ENOUGH):
        path = tmp_path / str(point) / "agentctl.db"

        def life(store: Ledger, point: int = point) -> None:
            failpoint._points = failpoint.CrashPoints(point, None)
            asyncio.run(story(store))

        was_killed = is_killed(in_a_child(path, life))
        store = open_store(path)
        asyncio.run(serve(store, LOOP, NOON + 60 * MINUTE, NOON + 66 * MINUTE))
        end = NOON + 66 * MINUTE
        often, seldom = check(store, "every 60s", MINUTE, end), check(store, "cron */5 * * * * UTC", 5 * MINUTE, end)
        check_runs(store)
        assert often["fired"] >= 6, point
        assert seldom["fired"] >= 1, point
        store.close()
        if not was_killed:
            assert point > 20
            return
    pytest.fail("no service came through undisturbed")


def test_two_timekeepers_that_race_fire_no_slot_twice(tmp_path: Path) -> None:
    path = tmp_path / "agentctl.db"
    restless = stored("heartbeat", set_step("a", b=1), triggers=(Trigger("every", "1s", {"catch_up": "all"}),))
    open_store(path).close()

    def life(store: Ledger) -> None:
        asyncio.run(serve(store, restless, NOON, NOON + 5 * MINUTE))
        store.close()

    racers = [in_a_child(path, life) for _ in range(2)]
    assert [is_killed(racer) for racer in racers] == [False, False]
    store = open_store(path)
    assert check(store, "every 1s", 1.0, NOON + 5 * MINUTE) == {"fired": 300}
    check_runs(store)
    store.close()
