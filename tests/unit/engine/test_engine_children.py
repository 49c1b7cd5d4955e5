"""Runs that start runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentctl.errors import ActionError
from agentctl.expressions.parse import parse_expression
from agentctl.model import Foreach, Input, Step
from agentctl.ports import Call
from agentctl.testing.definitions import inputs, set_step, skill, stored, task, wait, wait_for_run
from agentctl.testing.fixtures import World


async def run_it(world: World, definition: Any, input: dict[str, Any] | None = None) -> Any:
    engine = world.engine()
    run_id = await engine.create(definition, input or {}, vars={"colour": "red"})
    return await engine.drive(run_id)


async def test_a_child_is_a_run_of_its_own(world: World) -> None:
    double = set_step("d", n="${{ input.n * 2 }}", c="${{ vars.colour }}")
    world.skills["double"] = stored("double", double, kind="skill", input=inputs("n"))
    row = await run_it(world, stored("parent", skill("call", "double", {"n": "${{ 20 + 1 }}"})))
    assert (row.status, row.output) == ("succeeded", {"n": 42, "c": "red"})
    [child] = world.children(row.id)
    assert (child.status, child.trigger, child.kind, child.input) == ("succeeded", "skill", "skill", {"n": 21})
    assert (child.parent.run_id, child.parent.path, child.parent.depth) == (row.id, "call", 1)


async def test_the_failure_of_a_child_is_the_failure_of_its_step(world: World) -> None:
    async def fail(call: Call) -> None:
        raise ActionError("failed", "no luck")

    world.shell.behave["x"] = fail
    world.skills["bad"] = stored("bad", task("x"), kind="skill")
    row = await run_it(world, stored("parent", skill("call", "bad")))
    [child] = world.children(row.id)
    assert (row.status, row.error.type, row.error.step) == ("failed", "skill.failed", "call")
    assert row.error.data["run_id"] == child.id


async def test_many_children_of_one_foreach(world: World) -> None:
    world.skills["square"] = stored("square", set_step("s", n="${{ input.n * input.n }}"), kind="skill", input=inputs("n"))
    call = skill("call", "square", {"n": "${{ item }}"})
    each = Step(id="each", action=Foreach(parse_expression("range(30)"), (call,), max_parallel=5), uses="foreach")
    row = await run_it(world, stored("squares", each))
    assert row.output == [{"n": n * n} for n in range(30)]
    assert len(world.children(row.id)) == 30


async def test_a_skill_that_is_gone_fails_the_step(world: World) -> None:
    row = await run_it(world, stored("parent", skill("call", "nothing")))
    assert (row.status, row.error.type, row.error.step) == ("failed", "skill.not_found", "call")
    assert world.children(row.id) == []


async def test_a_skill_is_not_started_with_an_input_that_does_not_fit(world: World) -> None:
    declared = {"n": Input(schema={"type": "integer"})}
    world.skills["picky"] = stored("picky", set_step("s"), kind="skill", input=declared)
    row = await run_it(world, stored("parent", skill("call", "picky", {"n": "many"})))
    assert (row.status, row.error.type) == ("failed", "input.invalid")
    assert "picky" in row.error.message
    assert world.children(row.id) == []


async def test_a_skill_that_calls_itself_for_ever_ends_after_32_levels(world: World) -> None:
    world.skills["again"] = stored("again", skill("call", "again"), kind="skill")
    row = await run_it(world, stored("parent", skill("call", "again")))
    assert row.status == "failed"
    depth = 0
    while world.children(row.id):
        [row] = world.children(row.id)
        depth += 1
    assert (depth, row.error.type) == (32, "skill.too_deep")


async def test_a_run_is_pinned_to_the_version_of_a_skill_that_it_called_first(world: World) -> None:
    world.skills["s"] = stored("s", set_step("v", version=1), kind="skill")

    async def edit(call: Call) -> None:
        world.skills["s"] = stored("s", set_step("v", version=2), kind="skill")

    world.shell.behave["edit"] = edit
    row = await run_it(world, stored("parent", skill("first", "s"), task("edit"), skill("second", "s")))
    assert row.output == {"version": 1}
    assert (await run_it(world, stored("later", skill("first", "s")))).output == {"version": 2}


async def test_the_pin_outlives_the_engine(world: World) -> None:
    world.skills["s"] = stored("s", set_step("v", version=1), kind="skill")
    engine = world.engine()
    parent = stored("parent", skill("first", "s"), wait("w", "2s"), skill("second", "s"))
    run_id = await engine.create(parent, {})
    assert (await engine.drive(run_id, until="rest")).status == "waiting"
    await engine.stop()
    world.skills["s"] = stored("s", set_step("v", version=2), kind="skill")
    row = await world.engine().drive(run_id)
    assert row.output == {"version": 1}


async def test_cancelling_a_run_cancels_its_child(world: World) -> None:
    under_way = asyncio.Event()

    async def hang(call: Call) -> None:
        under_way.set()
        await asyncio.sleep(60)

    world.shell.behave["x"] = hang
    world.skills["slow"] = stored("slow", task("x"), kind="skill")
    engine = world.engine()
    run_id = await engine.create(stored("parent", skill("call", "slow")), {})
    driving = asyncio.create_task(engine.drive(run_id))
    await under_way.wait()
    await engine.cancel(run_id)
    row = await driving
    assert (row.status, [child.status for child in world.children(run_id)]) == ("cancelled", ["cancelled"])


async def test_cancelling_a_run_wakes_its_sleeping_child(world: World) -> None:
    world.skills["sleepy"] = stored("sleepy", wait("w", "1h"), kind="skill")
    engine = world.engine()
    run_id = await engine.create(stored("parent", skill("call", "sleepy")), {})
    assert (await engine.drive(run_id, until="rest")).status == "waiting"
    driving = asyncio.create_task(engine.drive(run_id))
    await engine.cancel(run_id)
    row = await driving
    assert (row.status, [child.status for child in world.children(run_id)]) == ("cancelled", ["cancelled"])


async def test_resuming_a_run_resumes_the_child_that_failed(world: World) -> None:
    broken = True

    async def maybe(call: Call) -> str:
        if broken:
            raise ActionError("failed", "not yet")
        return "now"

    world.shell.behave["y"] = maybe
    world.skills["child"] = stored("child", task("x"), task("y"), kind="skill")
    engine = world.engine()
    run_id = await engine.create(stored("parent", skill("call", "child")), {})
    assert (await engine.drive(run_id)).status == "failed"
    await engine.resume(run_id)
    assert (await engine.drive(run_id)).status == "failed"
    broken = False
    await engine.resume(run_id)
    row = await engine.drive(run_id)
    assert (row.status, row.output) == ("succeeded", "now")
    assert world.shell.paths == ["x", "y", "y", "y"]
    assert len(world.children(run_id)) == 1


async def test_a_child_that_was_mended_by_itself_is_not_run_again(world: World) -> None:
    broken = True

    async def maybe(call: Call) -> str:
        if broken:
            raise ActionError("failed", "not yet")
        return "mended"

    world.shell.behave["x"] = maybe
    world.skills["child"] = stored("child", task("x"), kind="skill")
    engine = world.engine()
    run_id = await engine.create(stored("parent", skill("call", "child")), {})
    assert (await engine.drive(run_id)).status == "failed"
    broken = False
    [child] = world.children(run_id)
    await engine.resume(child.id)
    assert (await engine.drive(child.id)).status == "succeeded"
    await engine.resume(run_id)
    assert (await engine.drive(run_id)).output == "mended"
    assert world.shell.paths == ["x", "x"]


async def test_a_detached_child_is_not_waited_for_but_is_driven(world: World) -> None:
    release = asyncio.Event()

    async def hold(call: Call) -> str:
        await release.wait()
        return "late"

    async def let_go(call: Call) -> None:
        release.set()

    world.shell.behave = {"x": hold, "after": let_go}
    world.skills["side"] = stored("side", task("x"), kind="skill")
    row = await run_it(world, stored("parent", task("before"), skill("call", "side", detach=True), task("after")))
    assert row.status == "succeeded"
    [child] = world.children(row.id)
    assert (child.status, child.output) == ("succeeded", "late")


async def test_a_detached_child_of_the_first_step_is_driven_too(world: World) -> None:
    world.skills["side"] = stored("side", set_step("x", n=1), kind="skill")
    row = await run_it(world, stored("parent", skill("call", "side", detach=True)))
    [child] = world.children(row.id)
    assert (row.output, child.status) == ({"run_id": child.id}, "succeeded")


async def test_a_detached_child_can_be_joined_later(world: World) -> None:
    world.skills["side"] = stored("side", wait("w", "0.2s"), set_step("x", n=1), kind="skill")
    parent = stored(
        "parent", task("before"), skill("call", "side", detach=True), wait_for_run("join", "${{ steps.call.output.run_id }}")
    )
    row = await run_it(world, parent)
    assert (row.status, row.output) == ("succeeded", {"n": 1})


async def test_waiting_for_a_run_that_has_ended_takes_no_time(world: World) -> None:
    first = await run_it(world, stored("first", set_step("x", n=1)))
    row = await run_it(world, stored("second", wait_for_run("join", first.id)))
    assert (row.status, row.output) == ("succeeded", {"n": 1})


async def test_waiting_for_a_run_that_never_was_fails(world: World) -> None:
    row = await run_it(world, stored("lost", wait_for_run("join", "nosuchrun")))
    assert row.status == "failed"
    assert "nosuchrun" in row.error.message


@pytest.mark.parametrize("sleep", ["0.3s", "1500ms"])
async def test_a_parent_wakes_when_its_sleeping_child_ends(world: World, sleep: str) -> None:
    world.skills["sleepy"] = stored("sleepy", wait("w", sleep), set_step("x", n=1), kind="skill")
    row = await run_it(world, stored("parent", skill("call", "sleepy"), set_step("y", n=2)))
    assert (row.status, row.output) == ("succeeded", {"n": 2})
