"""Killed before and after every commit around events that start runs: each event has exactly its runs.

A sender who was killed before it heard of its event sends it again under the same id, as any sender would; whoever serves next
drives what is there.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from agentctl.engine.engine import Engine
from agentctl.errors import ActionError
from agentctl.model import Batch, Flow
from agentctl.ports import Call, HistoryFilter
from agentctl.service.parts.batcher import release_due
from agentctl.service.problems import Problems
from agentctl.store.db import failpoint
from agentctl.testing.definitions import on_event, set_step, stored, task
from agentctl.testing.fixtures import World

# sent -> two loops; one of them emits -> a third, which fails -> the supervisor; and every emission is gathered by twos
FIRST = stored("first", set_step("a", by="${{ event.id }}"), triggers=(on_event("go"),))
SECOND = stored(
    "second",
    task("tell", {"event": "went.on"}, uses="emit"),
    task("again", {"event": "went.on"}, uses="emit"),
    triggers=(on_event("go"),),
)
THIRD = stored("third", task("break"), triggers=(on_event("went.*"),))
SUPERVISOR = stored("supervisor", task("break"), triggers=(on_event("agentctl.run.failed"),))
COLLECTOR = stored("collector", set_step("a", b=1), triggers=(on_event("went.on"),), flow=Flow(batch=Batch(2, 3600.0)))
EXPECTED = {"first": 1, "second": 1, "third": 2, "supervisor": 2, "collector": 1}
FAR_MORE_THAN_ENOUGH = 500


def world_in(root: Path) -> World:
    world = World(root)

    async def broken(call: Call) -> str:
        raise ActionError("shell.exit", "exit code 1")

    world.shell.behave["break"] = broken
    return world


async def life(world: World, engine: Engine) -> None:
    """Everybody does their part, as often as it takes."""
    await world.deploy(engine, FIRST, SECOND, THIRD, SUPERVISOR, COLLECTOR)
    await engine.send("go", {}, "e1")
    store = engine.store
    while (todo := store.due(1e12)) or await release_due(store, time.time(), {}, Problems()):
        for run_id in todo:
            await engine.drive(run_id)


def survives(point: int, root: Path) -> bool:
    """False: the process of its own did not come to that crash point before the end."""
    world = world_in(root)

    async def scenario(engine: Engine) -> None:
        failpoint._points = failpoint.CrashPoints(point, None)
        await life(world, engine)
        (root / "undisturbed").touch()

    world.killed(scenario)
    return not (root / "undisturbed").exists()


def test_killed_at_any_commit_every_event_has_exactly_its_runs(tmp_path: Path) -> None:
    for point in range(1, FAR_MORE_THAN_ENOUGH):
        root = tmp_path / str(point)
        root.mkdir()
        was_killed = survives(point, root)
        world = world_in(root)
        engine = world.engine()
        asyncio.run(asyncio.wait_for(life(world, engine), 20))
        rows = engine.store.history(HistoryFilter())
        assert {name: sum(row.name == name for row in rows) for name in EXPECTED} == EXPECTED, point
        assert all(row.status in ("succeeded", "failed") for row in rows), point
        second = next(row.id for row in rows if row.name == "second")
        thirds = {row.event["id"]: row.id for row in rows if row.name == "third"}
        assert set(thirds) == {f"{second}/tell", f"{second}/again"}, point
        assert {row.event["data"]["run_id"] for row in rows if row.name == "supervisor"} == set(thirds.values()), point
        [collector] = [row for row in rows if row.name == "collector"]
        assert [one["id"] for one in collector.event["data"]["events"]] == [f"{second}/tell", f"{second}/again"], point
        assert engine.store.gathered_due() is None, point
        world.close()
        if not was_killed:
            assert point > 30
            return
    pytest.fail("no run came through undisturbed")
