"""A word on definitions that fail whenever they run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agentctl.core.events import Error, RunCreated, RunFinished
from agentctl.ports import Append, Deployment, NewRun, Progress
from agentctl.service.parts.failure_monitor import FailureMonitor, failing
from agentctl.store.ledger import Ledger, open_store
from agentctl.testing.clock import VirtualClock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_store(tmp_path / "agentctl.db")
    yield opened
    opened.close()


class Loop:
    """A deployed loop `health`, whose runs end as a test says."""

    def __init__(self, store: Ledger) -> None:
        self._store = store
        self._numbers = count(1)

    async def deploy(self, version: str = "v1", **more: Any) -> None:
        told = {"kind": "loop", "file": "loops/health.yaml", "deployed_at": 1.0, **more}
        await self._store.deploy([Deployment(name="health", version=version, **told)], {})

    async def runs_end(self, *statuses: str, version: str = "v1") -> None:
        for status in statuses:
            number = next(self._numbers)
            created = RunCreated(at=float(number), run_id=f"r{number}", name="health", kind="loop", version=version)
            await self._store.create([NewRun(created=created)])
            [lease] = await self._store.acquire([created.run_id])
            error = Error("http.connect", "no answer", "probe", 1) if status == "failed" else None
            end: Any = {"status": status, "error": error}
            progress = Progress(started_at=1.0, finished_at=2.0, steps_done=0, steps_total=1, **end)
            finished = RunFinished(at=2.0, **end)
            await self._store.append(Append(lease=lease, head=1, events=[finished], progress=progress, release=True))

    @property
    def fails(self) -> bool:
        return list(failing(self._store, self._store.deployments())) == ["health"]


@pytest.fixture
def health(store: Ledger) -> Loop:
    return Loop(store)


async def test_it_fails_when_its_last_three_runs_have(health: Loop) -> None:
    await health.deploy()
    await health.runs_end("succeeded", "failed", "failed")
    assert not health.fails
    await health.runs_end("failed")
    assert health.fails


async def test_runs_that_were_cancelled_say_nothing(health: Loop) -> None:
    await health.deploy()
    await health.runs_end("failed", "cancelled", "failed", "cancelled")
    assert not health.fails
    await health.runs_end("failed", "cancelled")
    assert health.fails


async def test_a_version_that_has_not_run_yet_does_not_fail(health: Loop) -> None:
    await health.deploy()
    await health.runs_end("failed", "failed", "failed")
    await health.deploy("v2")
    assert not health.fails
    await health.runs_end("failed", version="v2")
    assert health.fails


async def test_what_is_gone_does_not_fail(health: Loop) -> None:
    await health.deploy(gone=True)
    await health.runs_end("failed", "failed", "failed")
    assert not health.fails


@asynccontextmanager
async def supervised(store: Ledger) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The part works; what comes back lets half a minute pass, in which there is something to look at."""
    clock = VirtualClock()
    part = FailureMonitor(store, clock)
    await part.begin()
    task = asyncio.create_task(part.run())

    async def pass_time() -> None:
        part.look()
        await clock.sleep_until(clock.now() + 30.0)

    yield pass_time
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """The lines of the log, with their levels."""
    caplog.set_level(logging.INFO, "agentctl.service")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


async def test_the_service_warns_once_and_says_when_it_is_over(store: Ledger, health: Loop, said: Any) -> None:
    await health.deploy()
    await health.runs_end("failed", "failed", "failed")
    async with supervised(store) as pass_time:
        await pass_time()
        await health.runs_end("failed")
        await pass_time()
        warning = ("WARNING", "the last 3 runs of 'health' have all failed: http.connect: no answer (agentctl show r3)")
        assert said() == [warning]
        await health.runs_end("succeeded")
        await pass_time()
    assert said() == [warning, ("INFO", "'health' does not fail every time any more")]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"gone": True}, "'health', which failed every time, is gone"),
        ({"version": "v2"}, "'health', which failed every time, has another version, which has not failed yet"),
    ],
)
async def test_of_what_is_gone_or_edited_nobody_says_that_it_works(
    store: Ledger, health: Loop, said: Any, change: dict[str, Any], line: str
) -> None:
    await health.deploy()
    await health.runs_end("failed", "failed", "failed")
    async with supervised(store) as pass_time:
        await pass_time()
        await health.deploy(**change)
        await pass_time()
    assert said()[1:] == [("INFO", line)]
