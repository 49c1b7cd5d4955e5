"""What every Store promises of flow control: who is made, who may be leased, and from when to when a run counts."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentctl.core.events import AnyEvent, CancelRequested, Parent, RunCreated, RunResumed, RunStarted
from agentctl.core.flow import Limits, Once, Place, Window
from agentctl.ports import Admission, Append, Lease, NewRun, Progress, Reply, Store

Factory = Callable[[], Store]


@pytest.fixture
def served(place: Path) -> Iterator[None]:
    """Somebody serves the store."""
    place.parent.mkdir(0o700, parents=True)
    descriptor = os.open(place.parent / "agentctl.db.serve.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def place(limit: int = 1, on_limit: Any = "queue", group: str = "demo concurrency", **more: Any) -> Limits:
    return Limits(places=(Place(group, limit, on_limit),), **more)


def new_run(run_id: str, limits: Limits, *, at: float = 1.0, parent: Parent | None = None, awaited: bool = True) -> NewRun:
    created = RunCreated(at=at, run_id=run_id, name="demo", kind="loop", version="v1", parent=parent)
    return NewRun(created=created, limits=limits, awaited=awaited)


async def create(store: Store, *runs: NewRun, reserve: bool = False) -> list[Admission]:
    return await store.create(runs, reserve=reserve)


async def begin(store: Store, run_id: str, at: float = 2.0) -> Lease | None:
    """Lease a run and let it start; None when it has to wait."""
    leases = await store.acquire([run_id], at)
    if not leases:
        return None
    await start(store, leases[0], at)
    return leases[0]


async def start(store: Store, lease: Lease, at: float) -> None:
    await write(store, lease, [RunStarted(at=at)], "running", started_at=at)


async def write(
    store: Store,
    lease: Lease,
    events: list[AnyEvent],
    status: Any,
    *,
    started_at: float = 2.0,
    release: bool = False,
    **more: Any,
) -> None:
    row = store.run(lease.run_id)
    assert row is not None
    finished = 9.0 if status in ("succeeded", "failed", "cancelled") else None
    progress = Progress(status=status, started_at=started_at, finished_at=finished, steps_done=0, steps_total=1)
    entry = Append(lease=lease, head=row.head, events=events, progress=progress, release=release or finished is not None, **more)
    await store.append(entry)


async def end(store: Store, lease: Lease | None, status: str = "succeeded") -> None:
    assert lease is not None
    await write(store, lease, [], status)


def due(store: Store, now: float = 5.0) -> list[str]:
    return store.due(now)


def reason(store: Store, run_id: str, at: float = 2.0) -> str:
    standing = store.queue_position(run_id, at)
    assert standing is not None
    return standing.reason


# --- places ----------------------------------------------------------------------------------------------------------


def test_a_run_has_its_place_from_its_lease_to_its_end(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", place()), new_run("b", place()))
        first = await begin(store, "a")
        assert first is not None
        assert await begin(store, "b") is None
        assert reason(store, "b") == "waits for a place: concurrency 1 of demo is held by run a"
        await end(store, first)
        assert await begin(store, "b") is not None
        assert store.queue_position("b") is None

    run(scenario)


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_a_place_is_free_however_its_run_ends(store: Store, status: str) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", place()), new_run("b", place()))
        await end(store, await begin(store, "a"), status)
        assert await begin(store, "b") is not None

    run(scenario)


def test_a_run_without_limits_stands_in_no_line(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", place()), new_run("free", Limits()))
        await begin(store, "a")
        assert await begin(store, "free") is not None

    run(scenario)


def test_waits_are_part_of_a_run(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", place()), new_run("b", place()))
        lease = await begin(store, "a")
        assert lease is not None
        await write(store, lease, [], "waiting", release=True)
        assert await begin(store, "b") is None
        [again] = await store.acquire(["a"])
        await end(store, again)
        assert await begin(store, "b") is not None

    run(scenario)


def test_leases_that_are_asked_for_together_go_by_priority_then_arrival(store: Store) -> None:
    async def scenario() -> None:
        urgent = new_run("urgent", place(2, priority=5.0))
        await create(store, new_run("a", place(2)), new_run("b", place(2)), urgent, new_run("c", place(2)))
        assert {lease.run_id for lease in await store.acquire(["c", "b", "urgent", "a"])} == {"urgent", "a"}

    run(scenario)


def test_a_run_that_asks_does_not_pass_one_that_somebody_alive_will_start(open_one: Factory) -> None:
    async def scenario() -> None:
        mine, other = open_one(), open_one()
        await create(other, new_run("first", place()), reserve=True)
        await create(mine, new_run("second", place()), reserve=True)
        assert await begin(mine, "second") is None
        assert reason(mine, "second") == "waits for its turn: 1 run is before it in the queue for concurrency 1 of demo"
        assert await begin(other, "first") is not None

    run(scenario)


def test_a_queued_run_that_nobody_alive_would_start_blocks_nobody(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("left", place()))
        await create(store, new_run("mine", place()), reserve=True)
        assert await begin(store, "mine") is not None

    run(scenario)


@pytest.mark.usefixtures("served")
def test_while_serve_lives_every_queued_run_keeps_its_turn(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("left", place()))
        await create(store, new_run("mine", place()), reserve=True)
        assert await begin(store, "mine") is None
        assert await begin(store, "left") is not None

    run(scenario)


def test_a_run_that_waits_for_another_group_keeps_nobody_back(store: Store) -> None:
    both = Limits(places=(Place("a", 1), Place("b", 1)))

    async def scenario() -> None:
        await create(store, new_run("of-b", place(group="b")), new_run("both", both), new_run("of-a", place(group="a")))
        await begin(store, "of-b")
        assert due(store) == ["of-a"]
        assert [lease.run_id for lease in await store.acquire(["both", "of-a"])] == ["of-a"]

    run(scenario)


def test_groups_are_counted_apart(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", place(group='demo concurrency "x"')), new_run("b", place(group='demo concurrency "y"')))
        assert len(await store.acquire(["a", "b"])) == 2

    run(scenario)


# --- reservations ----------------------------------------------------------------------------------------------------


def test_a_reserved_run_is_leased_to_nobody_else_until_its_process_ends(open_one: Factory) -> None:
    async def scenario() -> None:
        mine, other = open_one(), open_one()
        await create(mine, new_run("a", Limits()), reserve=True)
        assert await other.acquire(["a"]) == []
        assert due(other) == []
        mine.close()
        assert due(other) == ["a"]
        assert [lease.run_id for lease in await other.acquire(["a"])] == ["a"]

    run(scenario)


def test_a_reserved_run_is_leased_once(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", Limits()), reserve=True)
        assert len(await store.acquire(["a"])) == 1
        assert await store.acquire(["a"]) == []

    run(scenario)


def test_one_that_must_wait_is_kept_for_whoever_asked_for_it(open_one: Factory) -> None:
    async def scenario() -> None:
        mine, other = open_one(), open_one()
        await create(mine, new_run("a", place()), new_run("b", place()))
        lease = await begin(mine, "a")
        assert await begin(mine, "b") is None
        assert (mine.queue_position("b").ours, other.queue_position("b").ours) == (True, False)  # type: ignore[union-attr]
        await end(mine, lease)
        assert await other.acquire(["b"]) == []
        assert await begin(mine, "b") is not None

    run(scenario)


# --- what is due -----------------------------------------------------------------------------------------------------


def test_only_those_that_may_start_now_are_due(store: Store) -> None:
    async def scenario() -> None:
        await create(store, *(new_run(f"r{number:02d}", place(2)) for number in range(50)))
        assert due(store) == ["r00", "r01"]
        lease = await begin(store, "r00")
        assert due(store) == ["r01"]
        await end(store, lease)
        assert due(store) == ["r01", "r02"]

    run(scenario)


def test_a_queued_run_that_is_to_be_cancelled_is_due_though_there_is_no_place(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", place()), new_run("b", place()))
        await begin(store, "a")
        await store.post([Reply("b", CancelRequested(at=3.0))])
        assert due(store) == ["b"]
        [lease] = await store.acquire(["b"])
        await write(store, lease, [], "cancelled", consumed=[mail.id for mail in store.mail(["b"])])
        assert due(store) == []

    run(scenario)


# --- who dies --------------------------------------------------------------------------------------------------------


def test_a_killed_run_does_not_keep_its_place(open_one: Factory) -> None:
    async def scenario() -> None:
        dead, mine = open_one(), open_one()
        await create(dead, new_run("killed", place()))
        await begin(dead, "killed")
        dead.close()
        await create(mine, new_run("next", place()), reserve=True)
        lease = await begin(mine, "next")
        assert lease is not None
        assert await begin(mine, "killed") is None, "it needs a place before it goes on"
        assert reason(mine, "killed") == "waits for a place: concurrency 1 of demo is held by run next"
        await end(mine, lease)
        assert await begin(mine, "killed") is not None

    run(scenario)


def test_a_killed_run_goes_on_in_its_own_place_when_nobody_took_it(open_one: Factory) -> None:
    async def scenario() -> None:
        dead, mine = open_one(), open_one()
        await create(dead, new_run("killed", place()), new_run("next", place()))
        await begin(dead, "killed")
        dead.close()
        assert await begin(mine, "killed") is not None
        assert await begin(mine, "next") is None

    run(scenario)


@pytest.mark.usefixtures("served")
def test_a_killed_run_keeps_its_place_while_serve_lives_to_go_on_with_it(open_one: Factory) -> None:
    async def scenario() -> None:
        dead, mine = open_one(), open_one()
        await create(dead, new_run("killed", place()))
        await begin(dead, "killed")
        dead.close()
        await create(mine, new_run("next", place()), reserve=True)
        assert await begin(mine, "next") is None
        assert due(mine) == ["killed"]

    run(scenario)


def test_a_run_killed_between_its_lease_and_its_start_does_not_keep_its_place(open_one: Factory) -> None:
    async def scenario() -> None:
        dead, mine = open_one(), open_one()
        await create(dead, new_run("killed", place()))
        await dead.acquire(["killed"])
        dead.close()
        await create(mine, new_run("next", place()), reserve=True)
        assert await begin(mine, "next") is not None

    run(scenario)


def test_a_run_that_ended_and_goes_on_needs_a_place_again(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", place()), new_run("b", place()))
        await end(store, await begin(store, "a"), "failed")
        lease = await begin(store, "b")
        await store.post([Reply("a", RunResumed(at=4.0))])
        assert await store.acquire(["a"]) == []
        await end(store, lease)
        assert [one.run_id for one in await store.acquire(["a"])] == ["a"]
        assert store.queue_position("a") is None

    run(scenario)


def test_late_mail_for_a_run_that_has_ended_needs_no_place(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", place()), new_run("b", place()))
        await end(store, await begin(store, "a"))
        await begin(store, "b")
        await store.post([Reply("a", CancelRequested(at=4.0))])
        assert [one.run_id for one in await store.acquire(["a"])] == ["a"]

    run(scenario)


# --- on_limit --------------------------------------------------------------------------------------------------------


def test_skip_makes_no_run_while_the_limit_is_reached(store: Store) -> None:
    async def scenario() -> None:
        [first] = await create(store, new_run("a", place(on_limit="skip")))
        lease = await begin(store, "a")
        [second] = await create(store, new_run("b", place(on_limit="skip")))
        assert (first.outcome, second.outcome, second.run_id, store.run("b")) == ("created", "skipped", None, None)
        assert second.reason == "concurrency 1 of demo is taken by run a, and on_limit: skip starts no other"
        await end(store, lease)
        [third] = await create(store, new_run("c", place(on_limit="skip")))
        assert third.outcome == "created"

    run(scenario)


def test_skip_counts_those_made_in_the_same_commit(store: Store) -> None:
    async def scenario() -> None:
        made = await create(store, *(new_run(name, place(2, "skip")) for name in "abc"), reserve=True)
        assert [one.outcome for one in made] == ["created", "created", "skipped"]

    run(scenario)


def test_cancel_running_asks_the_oldest_to_end_in_the_commit_that_makes_the_new_run(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", place(on_limit="cancel_running")))
        lease = await begin(store, "a")
        await create(store, new_run("b", place(on_limit="cancel_running"), at=7.0))
        [mail] = store.mail(["a"])
        assert mail.event == CancelRequested(at=7.0, reason="run b was started, and takes its place")
        assert await begin(store, "b") is None, "it has its place until it has ended"
        await end(store, lease, "cancelled")
        assert await begin(store, "b") is not None

    run(scenario)


def test_cancel_running_asks_a_run_once_and_ends_queued_ones_too(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", place(on_limit="cancel_running")))
        await begin(store, "a")
        for name in "bcd":
            await create(store, new_run(name, place(on_limit="cancel_running")))
        assert [mail.run_id for mail in store.mail(["a", "b", "c", "d"])] == ["a", "b", "c"]

    run(scenario)


# --- windows and keys ------------------------------------------------------------------------------------------------


def throttled(limit: int = 1, per: float = 60.0) -> Limits:
    return Limits(throttle=Window("demo throttle", limit, per))


def test_a_throttle_delays_starts(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", throttled()), new_run("b", throttled()), new_run("c", throttled()))
        lease = await begin(store, "a", 100.0)
        await end(store, lease)
        assert await begin(store, "b", 120.0) is None
        standing = store.queue_position("b", 120.0)
        assert standing is not None
        assert (standing.reason, standing.until) == ("waits for its turn: throttle 1 in 1m of demo", 160.0)
        assert (store.next_due(120.0), due(store, 159.9)) == (160.0, [])
        assert await begin(store, "b", 160.0) is not None
        assert await begin(store, "c", 160.0) is None

    run(scenario)


def test_a_throttle_counts_from_the_start_itself_not_from_the_turn_before_it(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", throttled()), new_run("b", throttled()))
        [lease] = await store.acquire(["a"], 100.0)
        await start(store, lease, 103.0)
        assert await begin(store, "b", 162.9) is None
        assert store.next_due(162.9) == 163.0
        assert await begin(store, "b", 163.0) is not None

    run(scenario)


def test_a_retried_or_resumed_run_is_no_start_for_its_throttle(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", throttled()))
        await end(store, await begin(store, "a", 100.0), "failed")
        await store.post([Reply("a", RunResumed(at=101.0))])
        assert len(await store.acquire(["a"], 101.0)) == 1

    run(scenario)


def test_a_start_that_its_process_did_not_live_to_see_counts_when_it_happens(open_one: Factory) -> None:
    async def scenario() -> None:
        dead, mine = open_one(), open_one()
        await create(dead, new_run("killed", throttled()), new_run("next", throttled()))
        assert len(await dead.acquire(["killed"], 100.0)) == 1
        dead.close()
        assert await begin(mine, "killed", 130.0) is not None, "it is not held up by itself"
        assert await begin(mine, "next", 165.0) is None, "60 s after the lease, 35 s after the start"
        assert await begin(mine, "next", 190.0) is not None

    run(scenario)


def test_a_clock_that_was_put_back_delays_no_start_longer_than_one_span(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", throttled()), new_run("b", throttled()))
        await begin(store, "a", 10_000.0)
        assert await begin(store, "b", 400.0) is None
        standing = store.queue_position("b", 400.0)
        assert standing is not None
        assert standing.until == 460.0
        assert await begin(store, "b", 460.0) is not None

    run(scenario)


def test_rate_limit_drops_starts(store: Store) -> None:
    limits = Limits(rate_limit=Window("demo rate_limit", 2, 60.0))

    async def scenario() -> None:
        made = [(await create(store, new_run(f"r{at}", limits, at=float(at))))[0] for at in (0, 10, 20, 60, 65, 70)]
        assert [one.outcome for one in made] == ["created", "created", "skipped", "created", "skipped", "created"]
        assert made[2].reason == "rate_limit 2 in 1m of demo lets no more start"
        assert store.run("r20") is None

    run(scenario)


def test_dedupe_gives_the_id_of_the_first_run_for_its_time(store: Store) -> None:
    limits = Limits(dedupe=Once('demo dedupe "k"', 60.0))

    async def scenario() -> None:
        made = [(await create(store, new_run(f"r{at}", limits, at=float(at))))[0] for at in (0, 59, 60, 61)]
        assert [(one.outcome, one.run_id) for one in made] == [
            ("created", "r0"),
            ("duplicate", "r0"),
            ("created", "r60"),
            ("duplicate", "r60"),
        ]

    run(scenario)


def test_a_run_that_is_skipped_counts_for_no_limit(store: Store) -> None:
    limits = Limits(
        places=(Place("demo concurrency", 1, "skip"),), rate_limit=Window("demo rate_limit", 2, 60.0), dedupe=Once("d", 60.0)
    )

    async def scenario() -> None:
        busy = new_run("a", place(on_limit="skip"))
        await create(store, busy)
        lease = await begin(store, "a")
        for number in range(5):
            [refused] = await create(store, new_run(f"x{number}", limits))
            assert refused.outcome == "skipped"
        await end(store, lease)
        [made] = await create(store, new_run("b", limits))
        assert made.outcome == "created"

    run(scenario)


# --- children --------------------------------------------------------------------------------------------------------


def child_of(run_id: str, limits: Limits, *, of: str, awaited: bool = True) -> NewRun:
    return new_run(run_id, limits, parent=Parent(run_id=of, path="call"), awaited=awaited)


def test_a_recursive_child_runs_within_the_place_of_the_run_that_waits_for_it(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("top", place()))
        top = await begin(store, "top")
        assert top is not None
        await write(store, top, [], "running", spawn=[child_of("mid", Limits(), of="top")])
        mid = await begin(store, "mid")
        assert mid is not None
        await write(store, mid, [], "running", spawn=[child_of("low", place(), of="mid")])
        assert await begin(store, "low") is not None

    run(scenario)


def test_a_detached_child_stands_in_line_like_any_other(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("top", place()))
        top = await begin(store, "top")
        assert top is not None
        await write(store, top, [], "running", spawn=[child_of("child", place(), of="top", awaited=False)])
        assert await begin(store, "child") is None
        await end(store, top)
        assert await begin(store, "child") is not None

    run(scenario)


# --- the overlap of schedules ----------------------------------------------------------------------------------------


def slot_of(on_limit: Any) -> Limits:
    return Limits(places=(Place("demo concurrency", 5), Place('demo overlap "every 30s"', 1, on_limit, overlap=True)))


def test_the_runs_of_a_schedule_wait_for_each_other(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", slot_of("queue")), new_run("b", slot_of("queue")), new_run("by-hand", place(5)))
        lease = await begin(store, "a")
        assert await begin(store, "b") is None
        assert reason(store, "b") == "waits for the end of run a, started by the same schedule"
        assert await begin(store, "by-hand") is not None
        await end(store, lease)
        assert await begin(store, "b") is not None

    run(scenario)


def test_a_slot_that_overlaps_is_told_from_one_that_a_limit_refused(store: Store) -> None:
    async def scenario() -> None:
        await create(store, new_run("a", slot_of("skip")))
        await begin(store, "a")
        [refused] = await create(store, new_run("b", slot_of("skip")))
        assert (refused.outcome, refused.reason) == ("overlapped", "run a was still going, and overlap: skip starts no other")

    run(scenario)
