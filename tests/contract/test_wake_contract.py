"""What every Store promises about waking who waits for the writes of others, and about commits of a run that is alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentctl.core.events import CancelRequested, RunCreated, RunStarted
from agentctl.errors import LeaseLost
from agentctl.ports import Append, Appended, Lease, NewEvent, NewRun, Progress, Reply, Store

Factory = Callable[[], Store]
CANCEL = CancelRequested(at=3.0)


def new_run(run_id: str) -> NewRun:
    return NewRun(created=RunCreated(at=1.0, run_id=run_id, name="demo", kind="loop", version="v1"))


async def leased(store: Store, run_id: str) -> Lease:
    await store.create([new_run(run_id)])
    [lease] = await store.acquire([run_id])
    return lease


def step(lease: Lease, head: int, status: Any = "running", **more: Any) -> Append:
    finished = 9.0 if status == "succeeded" else None
    progress = Progress(status=status, started_at=2.0, finished_at=finished, steps_done=head, steps_total=9)
    return Append(lease=lease, head=head, events=[RunStarted(at=2.0)], progress=progress, **more)


async def woken(event: asyncio.Event) -> None:
    """Fails the test when nobody calls; the bound is far above what a wake-up takes."""
    await asyncio.wait_for(event.wait(), timeout=20)
    event.clear()


def test_a_listener_is_woken_by_what_another_process_writes(open_one: Factory) -> None:
    async def scenario() -> None:
        ours, theirs = open_one(), open_one()
        lease = await leased(ours, "r1")
        called = asyncio.Event()
        assert ours.listen(called.set)
        await theirs.create([new_run("r2")])
        await woken(called)
        await theirs.post([Reply("r1", CANCEL)])
        await woken(called)
        assert [run_id for _, run_id in ours.mailed(0)] == ["r1"]
        await theirs.send(NewEvent("something", {}, "e1", 3.0))
        await woken(called)
        [other] = await theirs.acquire(["r2"])
        await theirs.append(step(other, 1, "succeeded", release=True))
        await woken(called)
        assert lease.run_id == "r1"

    asyncio.run(scenario())


def test_nobody_is_woken_by_himself_or_by_a_step_that_is_only_followed_by_the_next(open_one: Factory) -> None:
    async def scenario() -> None:
        ours, theirs = open_one(), open_one()
        lease = await leased(theirs, "r1")
        calls: list[str] = []
        ours.listen(lambda: calls.append("ours"))
        theirs.listen(lambda: calls.append("theirs"))
        await theirs.append(step(lease, 1))
        await theirs.append(step(lease, 2))
        last = asyncio.Event()
        ours.listen(last.set)  # takes the place of the first; what had been written for that one would have come before
        await theirs.post([Reply("r1", CANCEL)])
        await woken(last)
        assert calls == []

    asyncio.run(scenario())


def test_the_pipe_of_a_listener_that_was_killed_is_tidied_away_and_the_others_are_kept(place: Path, open_one: Factory) -> None:
    async def scenario() -> None:
        ours, theirs = open_one(), open_one()
        called = asyncio.Event()
        ours.listen(called.set)
        folder = place.parent / "wake"
        [alive] = folder.iterdir()
        os.mkfifo(folder / "left-by-a-kill")
        await theirs.create([new_run("r1")])
        await woken(called)
        theirs.close()  # it may have been about to look at the other pipe
        assert list(folder.iterdir()) == [alive]

    asyncio.run(scenario())


def test_the_commit_of_a_run_that_is_alone_is_a_commit_like_any_other(open_one: Factory) -> None:
    async def scenario() -> None:
        store, other = open_one(), open_one()
        lease = await leased(store, "r1")
        await store.append(step(lease, 1, alone=True))
        row = other.run("r1")
        assert row is not None
        assert row.head == 2
        with pytest.raises(LeaseLost, match="this is an old write"):
            await store.append(step(lease, 1, alone=True))
        together = await asyncio.gather(store.append(step(lease, 2)), store.append(step(lease, 3, alone=True)))
        assert together == [Appended(), Appended()]
        assert [type(event).__name__ for event in other.journal("r1", after=1)] == ["RunStarted"] * 3

    asyncio.run(scenario())


def test_a_run_that_is_alone_does_not_hold_up_the_event_loop_while_another_process_writes(place: Path, open_one: Factory) -> None:
    import fcntl

    async def scenario() -> None:
        store = open_one()
        lease = await leased(store, "r1")
        with place.with_name("agentctl.db.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            commit = asyncio.ensure_future(store.append(step(lease, 1, alone=True)))
            await asyncio.sleep(0)  # it would be done, or stuck, by now
            assert not commit.done()
            fcntl.flock(lock, fcntl.LOCK_UN)
            assert await commit == Appended()

    asyncio.run(scenario())
