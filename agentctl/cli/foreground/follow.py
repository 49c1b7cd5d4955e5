"""Follow a run that `agentctl serve` drives, because it took the run before `run` or `resume` could."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from agentctl.cli import output, queries
from agentctl.errors import StoreBusy
from agentctl.ports import FINISHED

if TYPE_CHECKING:
    from agentctl.cli.foreground.watch import Watch
    from agentctl.engine.engine import Engine
    from agentctl.ports import RunRow, Store

_LOOK = 0.2  # seconds between two reads of what another process wrote


async def drive_or_follow(engine: Engine, run_id: str, *, wait: bool, left: asyncio.Event) -> RunRow:
    """Drive the run; while `serve` holds it, wait until it is as far, or until `left` is set.

    Raises StoreBusy when another process than `serve` holds it, and what `Engine.drive` raises.
    """
    while True:
        try:
            return await engine.drive(run_id, until="finished" if wait else "rest")
        except StoreBusy:
            served_by = engine.store.serving()
            if served_by is None:
                raise
        output.note(f"agentctl serve{f' (process {served_by})' if served_by else ''} drives the run; following it")
        row = await _follow(engine.store, run_id, wait=wait, left=left)
        if row is not None:
            return row


async def _follow(store: Store, run_id: str, *, wait: bool, left: asyncio.Event) -> RunRow | None:
    """Return the row, or None when no `serve` is running any more, so that we drive the run."""
    while True:
        mail = store.mail([run_id])  # before the row: taking the mail changes the row
        row = queries.row_of(store, run_id)
        if left.is_set() or (row.owner is None and _is_through(row, wait=wait) and not mail):
            return row
        if store.serving() is None:
            return None
        await _pause(left)


def _is_through(row: RunRow, *, wait: bool) -> bool:
    """Return whether the run has ended or needs a person; without `wait`, whether only waiting is left."""
    if row.status in FINISHED or (row.status == "blocked" and row.wake_at is None):
        return True
    return not wait and row.status in ("waiting", "blocked")


async def _pause(left: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_LOOK):
            await left.wait()
    except TimeoutError:
        pass


@asynccontextmanager
async def mirrored(engine: Engine, watch: Watch) -> AsyncIterator[None]:
    """Also show what `serve` does with the watched runs."""
    mirror = asyncio.create_task(_mirror(engine, watch))
    try:
        yield
    finally:
        mirror.cancel()
        await asyncio.gather(mirror, return_exceptions=True)
        if watch.is_shared:
            watch.catch_up(engine.holds)


async def _mirror(engine: Engine, watch: Watch) -> None:
    while True:
        if engine.store.serving() is not None:
            watch.is_shared = True
        if watch.is_shared:
            watch.catch_up(engine.holds)
        await asyncio.sleep(_LOOK)
