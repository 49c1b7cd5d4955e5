"""What every Store promises to those who ask how it is: that it can be written, and how much there is to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from agentctl.core.events import RunCreated, RunFinished, RunStarted
from agentctl.errors import StoreError
from agentctl.ports import Append, NewRun, Progress, Store

Open = Callable[..., Store]


async def create(store: Store, *names: str) -> None:
    await store.create(
        [
            NewRun(created=RunCreated(at=1.0, run_id=f"{name}-{number}", name=name, kind="loop", version="v"))
            for number, name in enumerate(names)
        ]
    )


async def finish(store: Store, run_id: str) -> None:
    [lease] = await store.acquire([run_id])
    done = Progress(status="succeeded", started_at=2.0, finished_at=3.0, steps_done=0, steps_total=0)
    events = [RunStarted(at=2.0), RunFinished(at=3.0, status="succeeded")]
    await store.append(Append(lease=lease, head=1, events=events, progress=done, release=True))


def test_runs_that_have_not_finished_are_counted_by_name_and_status(open_one: Open) -> None:
    async def scenario() -> None:
        store = open_one()
        assert store.unfinished() == {}
        await create(store, "b", "a", "b", "b")
        await finish(store, "b-3")
        await finish(store, "a-1")
        await store.acquire(["b-2"])
        assert store.unfinished() == {("b", "queued"): 2}
        await create(store, "c")
        assert store.unfinished() == {("b", "queued"): 2, ("c", "queued"): 1}

    asyncio.run(scenario())


def test_a_beat_is_a_write_that_changes_nothing(open_one: Open) -> None:
    async def scenario() -> None:
        store, other = open_one(), open_one()
        await store.check_writable()
        assert other.changed()
        assert store.unfinished() == {}

    asyncio.run(scenario())


def test_a_store_that_cannot_be_written_does_not_beat(open_one: Open) -> None:
    async def scenario() -> None:
        open_one()
        with pytest.raises(StoreError):
            await open_one(read_only=True).check_writable()

    asyncio.run(scenario())
