"""Killed before and after every single commit: what was finished is not done again, and the outcome is the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agentctl.core.events import StepSucceeded
from agentctl.engine.engine import Engine
from agentctl.errors import ActionError
from agentctl.expressions.parse import parse_expression
from agentctl.model import Foreach, Retry, Step
from agentctl.ports import Call
from agentctl.store.db import failpoint
from agentctl.testing.definitions import inputs, set_step, skill, stored, task, wait, wait_for_run
from agentctl.testing.fixtures import World

CHILD = stored("child", task("x"), wait("w", "20ms"), task("y", {"n": "${{ input.n }}"}), kind="skill", input=inputs("n"))
EACH = Step(
    id="each",
    action=Foreach(parse_expression("[1, 2]"), (skill("c", "child", {"n": "${{ item }}"}), task("t")), max_parallel=2),
    uses="foreach",
)
PARENT = stored(
    "parent",
    task("flaky", retry=Retry(attempts=2, delay=0.02)),
    EACH,
    skill("side", "child", {"n": 9}, detach=True),
    wait_for_run("join", "${{ steps.side.output.run_id }}"),
    set_step("end", got="${{ steps.each.output }}"),
)
FAR_MORE_THAN_ENOUGH = 500


class Undisturbed(Exception):
    """The run ended before the crash point was reached."""


def world_in(root: Path) -> World:
    world = World(root)
    world.skills["child"] = CHILD

    async def fail_once(call: Call) -> str:
        if call.attempt == 1:
            raise ActionError("timeout", "too slow")
        return "done"

    world.shell.behave["flaky"] = fail_once
    return world


def kill_at(point: int, root: Path) -> None:
    """A process of its own creates and drives the run, and dies at that crash point."""

    async def scenario(engine: Engine) -> None:
        failpoint._points = failpoint.CrashPoints(point, None)
        run_id = await engine.create(PARENT, {})
        (root / "id").write_text(run_id)
        await engine.drive(run_id)
        (root / "undisturbed").touch()

    world_in(root).killed(scenario)
    if (root / "undisturbed").exists():
        raise Undisturbed


def finished_steps(world: World, run_id: str) -> set[tuple[str, str]]:
    engine = world.engine()
    runs = [run_id, *(child.id for child in world.children(run_id))]
    events = [(run, event) for run in runs for event in engine.store.journal(run)]
    return {(run, event.path) for run, event in events if isinstance(event, StepSucceeded)}


def go_on(root: Path) -> tuple[Any, set[tuple[str, str]], World]:
    world = world_in(root)
    run_id = (root / "id").read_text()

    async def drive() -> tuple[Any, set[tuple[str, str]]]:
        before = finished_steps(world, run_id)
        return await asyncio.wait_for(world.engine().drive(run_id), 20), before

    row, before = asyncio.run(drive())
    return row, before, world


def test_a_run_killed_at_any_commit_comes_to_the_same_end(tmp_path: Path) -> None:
    for point in range(1, FAR_MORE_THAN_ENOUGH):
        root = tmp_path / str(point)
        root.mkdir()
        try:
            kill_at(point, root)
        except Undisturbed:
            assert point > 40
            return
        if not (root / "id").exists():
            continue  # the run was never acknowledged
        row, before, world = go_on(root)
        assert (row.status, row.output) == ("succeeded", {"got": ["did each[0].t", "did each[1].t"]}), point
        performed = Counter((call.run_id, call.path) for call in world.shell.calls if call.path != "flaky")
        assert before.isdisjoint(performed), point
        assert set(performed.values()) <= {1}, point
        assert [child.status for child in world.children(row.id)] == ["succeeded"] * 3, point
        world.close()
    pytest.fail("no run came through undisturbed")
