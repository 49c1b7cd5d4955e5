"""Runs that wait for each other for ever are called stalled; runs that something else will move are not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentctl import model
from agentctl.cli.queries import stalls
from agentctl.engine.engine import Engine
from agentctl.expressions.parse import parse_value
from agentctl.ports import Call, HistoryFilter, StoredDefinition
from agentctl.testing.definitions import inputs, skill, stored, task, wait_for_run
from agentctl.testing.fixtures import World

LATER = 1e11  # epoch seconds, in the year 5138
LIMIT_OF_ONE = model.Flow(concurrency=model.Concurrency(1, None, "queue"))


def stalled(engine: Engine) -> set[str]:
    return set(stalls(engine.store, engine.store.history(HistoryFilter(limit=100)), LATER))


def meeting(world: World, guests: int) -> None:
    """Nobody leaves its step `meet` before all have come to it."""
    all_here = asyncio.Event()

    async def work(call: Call) -> str:
        if len(world.shell.calls) >= guests:
            all_here.set()
        await all_here.wait()
        return "met"

    world.shell.behave["meet"] = work


async def at_rest(engine: Engine, definition: StoredDefinition, given: Sequence[dict[str, str]]) -> list[str]:
    """The ids of runs with these inputs, driven until nothing but waiting is left of any."""
    ids = await engine.create_many(definition, given)
    await asyncio.gather(*(engine.drive(run_id, until="rest") for run_id in ids))
    return ids


def calling(world: World, name: str, other: str, timeout: float | None = None) -> StoredDefinition:
    """A skill of which one runs at once, and which calls the other such skill."""
    steps = (task("meet"), skill("call", other, timeout=timeout))
    world.skills[name] = stored(name, *steps, kind="skill", flow=LIMIT_OF_ONE)
    return world.skills[name]


async def crosswise(world: World, engine: Engine, timeout: float | None) -> set[str]:
    """The ids of all runs of two such skills that call each other."""
    meeting(world, guests=2)
    ids = await asyncio.gather(
        at_rest(engine, calling(world, "one", "two", timeout), [{}]),
        at_rest(engine, calling(world, "two", "one"), [{}]),
    )
    return {run_id for group in ids for run_id in [*group, *(child.id for child in world.children(group[0]))]}


async def test_skills_that_call_each_other_crosswise_under_limits_stall(world: World) -> None:
    engine = world.engine()
    held = await crosswise(world, engine, timeout=None)
    assert len(held) == 4
    assert stalled(engine) == held


async def test_they_do_not_while_a_timeout_will_part_them(world: World) -> None:
    engine = world.engine()
    await crosswise(world, engine, timeout=3 * LATER)
    assert stalled(engine) == set()


async def test_a_run_that_waits_for_the_run_that_waits_for_it_stalls(world: World) -> None:
    engine = world.engine()
    world.skills["child"] = stored("child", wait_for_run("parent", "${{ input.parent }}"), kind="skill", input=inputs("parent"))
    start = skill("start", "child", {"parent": "${{ run.id }}"}, detach=True)
    [parent] = await at_rest(engine, stored("parent", start, wait_for_run("join", "${{ steps.start.output.run_id }}")), [{}])
    [child] = world.children(parent)
    await engine.drive(child.id, until="rest")
    assert stalled(engine) == {parent, child.id}


async def test_a_skill_that_calls_itself_beneath_a_key_that_it_holds_stalls(world: World) -> None:
    engine = world.engine()
    beneath = model.Group((skill("again", "once"),))
    keyed = model.Step(id="keyed", action=beneath, uses="steps", idempotency_key=parse_value("always the same"))
    world.skills["once"] = stored("once", keyed, kind="skill")
    [outer] = await at_rest(engine, world.skills["once"], [{}])
    [inner] = world.children(outer)
    assert stalled(engine) == {outer, inner.id}
