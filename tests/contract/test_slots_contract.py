"""What every Store promises of schedules: a slot is settled once, with its run or without, and pauses are remembered."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agentctl.core.events import RunCreated
from agentctl.core.flow import Limits, Once, Place, Window
from agentctl.errors import NotFound
from agentctl.ports import Admission, Deployment, NewRun, Slot, SlotRow, Store

KEY = "every 60s"


def done(awaitable: Callable[[], Awaitable[Any]]) -> Any:
    async def wait() -> Any:
        return await awaitable()

    return asyncio.run(wait())


def slot(at: float, run_id: str | None = None, outcome: Any = None, reason: str = "", **where: Any) -> Slot:
    """Fired, with a run; else missed."""
    run = None
    if run_id is not None:
        limits = where.pop("limits", Limits())
        created = RunCreated(at=at, run_id=run_id, name="heartbeat", kind="loop", version="v1", trigger="every", scheduled_at=at)
        run = NewRun(created=created, limits=limits)
    found = outcome or ("missed" if run is None else "fired")
    return Slot(**{"name": "heartbeat", "schedule": KEY, **where}, slot=at, outcome=found, reason=reason, run=run)


def fire(store: Store, *slots: Slot, at: float = 1000.0) -> list[Admission | None]:
    return done(lambda: store.fire(slots, at))


def kept(store: Store, *schedules: tuple[str, str], at: float) -> list[float]:
    return done(lambda: store.sync_schedules(schedules, at))


def told(rows: list[SlotRow]) -> list[tuple[float, str, str | None]]:
    return [(row.slot, row.outcome, row.run_id) for row in rows]


def test_a_slot_that_fires_is_written_with_its_run(store):
    assert fire(store, slot(60.0, "a", reason="made up for"), at=61.5) == [Admission("a", "created")]
    assert store.slots() == [
        SlotRow(name="heartbeat", schedule=KEY, slot=60.0, outcome="fired", reason="made up for", at=61.5, run_id="a")
    ]
    assert store.run("a").status == "queued"


def test_a_slot_fires_once_ever(store):
    fire(store, slot(60.0, "a"))
    assert fire(store, slot(60.0, "b"), slot(120.0, "c")) == [None, Admission("c", "created")]
    assert done(lambda: store.backfill([slot(60.0, "d")], 9.0)) == [None]
    assert told(store.slots()) == [(120.0, "fired", "c"), (60.0, "fired", "a")]
    assert [store.run(run_id) for run_id in ("b", "d")] == [None, None]


def test_a_slot_that_is_told_twice_in_one_commit_fires_once(store):
    assert fire(store, slot(60.0, "a"), slot(60.0, "b")) == [Admission("a", "created"), None]
    assert store.run("b") is None


def test_slots_of_other_schedules_and_of_other_loops_are_other_slots(store):
    fire(store, slot(60.0, "a"), slot(60.0, "b", schedule="every 30s"), slot(60.0, "c", name="other"))
    assert {row.run_id for row in store.slots()} == {"a", "b", "c"}
    assert told(store.slots("other")) == [(60.0, "fired", "c")]
    assert told(store.slots("heartbeat", "every 30s")) == [(60.0, "fired", "b")]


@pytest.mark.parametrize("outcome", ["missed", "skipped", "overlapped"])
def test_what_a_slot_came_to_stays_but_it_may_still_fire_once(store, outcome):
    fire(store, slot(60.0, outcome=outcome, reason="why"), at=70.0)
    assert fire(store, slot(60.0, outcome="missed", reason="another"), at=80.0) == [None]
    [row] = store.slots()
    assert (row.outcome, row.reason, row.at) == (outcome, "why", 70.0)
    assert fire(store, slot(60.0, "a", reason="after all"), at=90.0) == [Admission("a", "created")]
    [row] = store.slots()
    assert (row.outcome, row.reason, row.at, row.run_id) == ("fired", "after all", 90.0, "a")


@pytest.mark.parametrize(
    ("limits", "outcome", "said"),
    [
        (Limits(places=(Place("heartbeat overlap", 1, "skip", overlap=True),)), "overlapped", "run a was still going"),
        (Limits(places=(Place("heartbeat concurrency", 1, "skip"),)), "skipped", "on_limit: skip starts no other"),
        (Limits(rate_limit=Window("heartbeat rate_limit", 1, 9999.0)), "skipped", "lets no more start"),
        (Limits(dedupe=Once("heartbeat dedupe", 9999.0)), "skipped", "run a was started with the same key"),
    ],
    ids=["overlap", "concurrency", "rate_limit", "dedupe"],
)
def test_a_slot_whose_run_is_refused_by_its_limits_says_why(store, limits, outcome, said):
    store.serve()  # else the first would be left lying, and in nobody's way
    first, second = fire(store, slot(60.0, "a", limits=limits), slot(120.0, "b", limits=limits))
    assert first.outcome == "created" != second.outcome
    newest, oldest = store.slots()
    assert (oldest.outcome, newest.outcome, newest.run_id) == ("fired", outcome, None)
    assert said in newest.reason
    assert store.run("b") is None


def test_a_schedule_is_settled_up_to_its_last_slot_from_then_on(store):
    assert kept(store, ("heartbeat", KEY), at=30.0) == [30.0]
    fire(store, slot(60.0, "a"), slot(120.0), slot(60.5, schedule="every 1s"))
    assert kept(store, ("heartbeat", KEY), ("heartbeat", "every 1s"), at=200.0) == [120.0, 200.0]


def test_a_schedule_that_is_kept_to_no_more_begins_anew(store):
    kept(store, ("heartbeat", KEY), ("other", KEY), at=30.0)
    kept(store, ("other", KEY), at=100.0)
    fire(store, slot(60.0))
    assert kept(store, ("heartbeat", KEY), ("other", KEY), at=500.0) == [500.0, 30.0]


def test_a_schedule_is_never_settled_up_to_later_than_now(store):
    kept(store, ("heartbeat", KEY), at=5000.0)
    assert kept(store, ("heartbeat", KEY), at=70.0) == [70.0]
    assert kept(store, ("heartbeat", KEY), at=9000.0) == [70.0]


def test_a_backfill_settles_no_schedule(store):
    kept(store, ("heartbeat", KEY), at=300.0)
    assert done(lambda: store.backfill([slot(60.0, "a"), slot(600.0, "b")], 700.0))[0] == Admission("a", "created")
    assert kept(store, ("heartbeat", KEY), at=800.0) == [300.0]


def test_the_last_slots_come_newest_first_and_no_more_than_asked_for(store):
    numbers = range(1, 50)
    fire(store, *(slot(60.0 * number) for number in numbers), *(slot(60.0 * number + 1, name="other") for number in numbers))
    assert [row.slot for row in store.slots(limit=3)] == [2941.0, 2940.0, 2881.0]
    assert [row.slot for row in store.slots("heartbeat", limit=2)] == [2940.0, 2880.0]
    assert [row.slot for row in store.slots_between("heartbeat", KEY, 120.0, 240.0)] == [120.0, 180.0]
    assert store.slots("nobody") == []


def test_slots_a_millisecond_apart_are_two(store):
    fire(store, slot(1_800_000_000.001, "a"), slot(1_800_000_000.002, "b"))
    assert [row.slot for row in store.slots()] == [1_800_000_000.002, 1_800_000_000.001]
    assert fire(store, slot(1_800_000_000.001, "c")) == [None]


# --- pauses ----------------------------------------------------------------------------------------------------------


def deploy(store: Store, name: str) -> None:
    one = Deployment(name=name, kind="loop", file="loops/x.yaml", version="v1", deployed_at=1.0)
    done(lambda: store.deploy([one], {}))


def test_pauses_are_remembered_from_when_until_when(store):
    deploy(store, "heartbeat")
    for change, at in ((store.pause, 10.0), (store.unpause, 20.0), (store.pause, 30.0), (store.pause, 35.0)):
        done(lambda change=change, at=at: change("heartbeat", at))
    assert store.pauses("heartbeat", 0.0) == [(10.0, 20.0), (30.0, math.inf)]
    assert store.pauses("heartbeat", 20.0) == [(30.0, math.inf)]
    assert [one.paused_at for one in store.deployments()] == [30.0]


def test_unpausing_what_is_not_paused_changes_nothing(store):
    deploy(store, "heartbeat")
    done(lambda: store.unpause("heartbeat", 20.0))
    assert store.pauses("heartbeat", 0.0) == []


def test_a_pause_outlives_a_deploy(store):
    deploy(store, "heartbeat")
    done(lambda: store.pause("heartbeat", 10.0))
    deploy(store, "heartbeat")
    assert store.pauses("heartbeat", 0.0) == [(10.0, math.inf)]


def test_a_pause_that_ended_before_it_began_was_none(store):
    deploy(store, "heartbeat")
    done(lambda: store.pause("heartbeat", 10.0))
    done(lambda: store.unpause("heartbeat", 5.0))
    assert [(begin, end) for begin, end in store.pauses("heartbeat", 0.0) if begin < end] == []


def test_what_was_never_deployed_cannot_be_paused(store):
    for change in (store.pause, store.unpause):
        with pytest.raises(NotFound, match="'nobody'"):
            done(lambda change=change: change("nobody", 1.0))
