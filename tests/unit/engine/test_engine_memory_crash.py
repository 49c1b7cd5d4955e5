"""Killed before and after every commit: what a loop remembers and what its journal says never differ."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentctl.core.events import StepSucceeded
from agentctl.engine.engine import Engine
from agentctl.store.db import failpoint
from agentctl.testing.definitions import set_step, stored, task
from agentctl.testing.fixtures import World

COUNT = stored(
    "count",
    task("work"),
    task("keep", {"n": "${{ (state.n | default(0)) + 1 }}"}, uses="remember"),
    task("more"),
    set_step("seen", n="${{ state.n | default(0) }}"),
)
FAR_MORE_THAN_ENOUGH = 100


def killed_at(point: int, root: Path) -> bool:
    """False when the run was over before that crash point."""

    async def scenario(engine: Engine) -> None:
        failpoint._points = failpoint.CrashPoints(point, None)
        run_id = await engine.create(COUNT, {})
        (root / "id").write_text(run_id)
        await engine.drive(run_id)
        (root / "undisturbed").touch()

    World(root).killed(scenario)
    return not (root / "undisturbed").exists()


def test_a_value_is_remembered_exactly_when_its_step_is_recorded(tmp_path: Path) -> None:
    both = set()
    for point in range(1, FAR_MORE_THAN_ENOUGH):
        root = tmp_path / str(point)
        root.mkdir()
        if not killed_at(point, root):
            assert point > 6
            assert both == {True, False}
            return
        if not (root / "id").exists():
            continue  # the run was never acknowledged
        world = World(root)
        run_id = (root / "id").read_text()

        async def go_on(world: World = world, run_id: str = run_id, point: int = point) -> tuple[object, object, bool]:
            engine = world.engine()
            recorded = any(isinstance(e, StepSucceeded) and e.path == "keep" for e in engine.store.journal(run_id))
            assert engine.store.memory("count") == ({"n": 1} if recorded else {}), point
            row = await asyncio.wait_for(engine.drive(run_id), 20)
            return row.output, engine.store.memory("count"), recorded

        output, memory, recorded = asyncio.run(go_on())
        both.add(recorded)
        assert (output, memory) == ({"n": 0}, {"n": 1}), point
        world.close()
    pytest.fail("no run came through undisturbed")
