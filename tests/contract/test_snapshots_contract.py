"""What every Store promises of snapshots: the latest one of an unfinished run, in the commit with the events it stands for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentctl.core.events import RunCreated, RunStarted
from agentctl.errors import LeaseLost
from agentctl.ports import Append, Lease, NewRun, Progress, Store


async def leased(store: Store, run_id: str) -> Lease:
    await store.create([NewRun(created=RunCreated(at=1.0, run_id=run_id, name="demo", kind="loop", version="v1"))])
    [lease] = await store.acquire([run_id])
    return lease


def entry(lease: Lease, head: int, *, status: Any = "running", **more: Any) -> Append:
    finished = 3.0 if status == "succeeded" else None
    progress = Progress(status=status, started_at=2.0, finished_at=finished, steps_done=0, steps_total=1)
    return Append(lease=lease, head=head, events=[RunStarted(at=2.0)], progress=progress, **more)


def test_the_latest_snapshot_is_kept_with_the_number_of_events_it_stands_for(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        assert store.snapshot("r1") is None
        await store.append(entry(lease, 1, snapshot=b"\x00first"))
        assert store.snapshot("r1") == (2, b"\x00first")
        await store.append(entry(lease, 2))
        assert store.snapshot("r1") == (2, b"\x00first")
        await store.append(entry(lease, 3, snapshot=b"x" * 3_000_000))
        assert store.snapshot("r1") == (4, b"x" * 3_000_000)

    asyncio.run(scenario())


def test_a_finished_run_has_no_snapshot(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        await store.append(entry(lease, 1, snapshot=b"state"))
        await store.append(entry(lease, 2, status="succeeded", snapshot=b"later"))

    asyncio.run(scenario())
    assert store.snapshot("r1") is None


def test_a_refused_append_leaves_no_snapshot(store: Store) -> None:
    async def scenario() -> None:
        lease = await leased(store, "r1")
        with pytest.raises(LeaseLost):
            await store.append(entry(lease, 9, snapshot=b"state"))

    asyncio.run(scenario())
    assert store.snapshot("r1") is None
