"""Budgets that several runs draw on, and what loops remember."""

from __future__ import annotations

import asyncio
from typing import Any

from agentctl.core.events import RunStarted, Usage
from agentctl.errors import ActionError
from agentctl.expressions.parse import parse_expression
from agentctl.model import Budget, Foreach, Repeat, Step
from agentctl.ports import Call, Outcome
from agentctl.testing.definitions import inputs, set_step, skill, stored, task
from agentctl.testing.fixtures import World


def ask(id: str, tokens: int = 100, **more: Any) -> Step:
    return task(id, {"prompt": "", "max_tokens": tokens}, uses="llm", **more)


def remember(id: str, **values: Any) -> Step:
    return task(id, values, uses="remember")


def answers(world: World, *paths: str, tokens: int = 90, usd: float | None = None) -> None:
    async def answer(call: Call) -> Outcome:
        await asyncio.sleep(0.01)
        return Outcome("said", Usage(output_tokens=tokens, usd=usd, model="m"))

    for path in paths:
        world.llm.behave[path] = answer


async def drive(world: World, definition: Any, **input: Any) -> Any:
    engine = world.engine()
    return await engine.drive(await engine.create(definition, input))


def three_children(parallel: int) -> Step:
    action = Foreach(parse_expression("[1, 2, 3]"), (skill("c", "child"),), max_parallel=parallel)
    return Step(id="each", action=action, uses="foreach")


async def test_a_run_and_the_skills_it_calls_share_its_budget_even_at_the_same_time(world: World) -> None:
    answers(world, "q")
    world.skills["child"] = stored("child", ask("q"), kind="skill")
    row = await drive(world, stored("parent", three_children(3), budget=Budget(tokens=250)))
    assert row.status == "failed"
    assert len(world.llm.calls) == 2
    assert "budget" in row.error.message
    assert row.usage.output_tokens == 180


async def test_what_children_cost_is_part_of_what_the_run_cost(world: World) -> None:
    answers(world, "q", usd=0.25)
    world.skills["child"] = stored("child", ask("q"), kind="skill")
    row = await drive(world, stored("parent", three_children(1)))
    assert (row.usage.output_tokens, row.usage.usd) == (270, 0.75)


async def test_a_budget_of_the_day_is_one_for_all_runs_of_the_loop(world: World) -> None:
    answers(world, "q")
    definition = stored("loop", ask("q"), budget=Budget(tokens=200, per="day"))
    assert [(await drive(world, definition)).status for _ in range(3)] == ["succeeded", "succeeded", "failed"]
    row = await drive(world, definition)
    assert (row.error.type, row.error.data["budget"][:9]) == ("budget.exceeded", "day/loop/")
    assert len(world.llm.calls) == 2
    other = stored("other", ask("q"), budget=Budget(tokens=200, per="day"))
    assert (await drive(world, other)).status == "succeeded"


async def test_runs_at_the_same_time_cannot_both_take_the_last_of_a_days_budget(world: World) -> None:
    answers(world, "q")
    definition = stored("loop", ask("q"), budget=Budget(tokens=250, per="day"))
    engines = [world.engine() for _ in range(4)]
    runs = [await engine.create(definition, {}) for engine in engines]
    rows = await asyncio.gather(*(engine.drive(run_id) for engine, run_id in zip(engines, runs, strict=True)))
    assert sorted(row.status for row in rows) == ["failed", "failed", "succeeded", "succeeded"]


async def test_the_fallback_of_a_call_over_the_days_budget_runs(world: World) -> None:
    definition = stored("loop", ask("q", fallback=(set_step("rule", by="rule"),)), budget=Budget(tokens=50, per="day"))
    row = await drive(world, definition)
    assert (row.status, row.output) == ("succeeded", {"by": "rule"})
    assert world.llm.calls == []


async def test_a_call_that_is_stopped_with_the_process_counts_as_its_estimate(world: World) -> None:
    begun = asyncio.Event()

    async def hang(call: Call) -> None:
        begun.set()
        await asyncio.Event().wait()

    world.llm.behave["q"] = hang
    definition = stored("loop", ask("q"), budget=Budget(tokens=150, per="day"))
    engine = world.engine()
    run_id = await engine.create(definition, {})
    driving = asyncio.create_task(engine.drive(run_id))
    await begun.wait()
    await engine.stop()
    await driving

    row = await world.engine().drive(run_id)
    assert row.error.type == "budget.exceeded"
    assert row.error.data["spent_tokens"] == 100
    assert len(world.llm.calls) == 1


async def test_what_failed_calls_cost_is_spent_as_well(world: World) -> None:
    async def fail(call: Call) -> None:
        raise ActionError("llm.invalid_output", "no JSON", usage={"output_tokens": 120})

    world.llm.behave["q"] = fail
    answers(world, "r")
    definition = stored("loop", ask("q", continue_on_error=True), ask("r"), budget=Budget(tokens=200, per="day"))
    row = await drive(world, definition)
    assert (row.status, row.error.data["spent_tokens"]) == ("failed", 120)


async def test_what_a_run_remembers_the_next_one_sees_and_it_itself_does_not(world: World) -> None:
    count = stored("count", set_step("s", n="${{ (state.n | default(0)) + 1 }}"), remember("r", n="${{ steps.s.output.n }}"),
                   set_step("seen", n="${{ state.n | default(0) }}"))  # fmt: skip
    assert [(await drive(world, count)).output for _ in range(3)] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert world.engine().store.memory("count") == {"n": 3}
    assert world.engine().store.memory("other") == {}


async def test_a_queued_run_sees_what_the_one_before_it_remembered(world: World) -> None:
    engine = world.engine()
    first = await engine.create(stored("loop", remember("r", cursor=5)), {})
    second = await engine.create(stored("loop", set_step("s", cursor="${{ state.cursor }}")), {})
    await engine.drive(first)
    row = await engine.drive(second)
    assert row.output == {"cursor": 5}
    assert RunStarted(at=row.started_at, state={"cursor": 5}) in list(engine.store.journal(second))


async def test_a_run_cancelled_in_the_queue_and_resumed_sees_the_memory_of_when_it_starts(world: World) -> None:
    engine = world.engine()
    queued = await engine.create(stored("loop", set_step("s", cursor="${{ state.cursor }}")), {})
    await engine.cancel(queued)
    assert (await engine.drive(queued)).status == "cancelled"
    await engine.store.remember("loop", {"cursor": 8})
    await engine.resume(queued)
    assert (await engine.drive(queued)).output == {"cursor": 8}


async def test_a_skill_has_a_memory_of_its_own_name(world: World) -> None:
    world.skills["child"] = stored(
        "child", remember("r", last="${{ input.n }}"), set_step("s", had="${{ state.last | default(null) }}"),
        kind="skill", input=inputs("n"),
    )  # fmt: skip
    parent = stored("parent", skill("a", "child", {"n": 1}), skill("b", "child", {"n": 2}))
    assert (await drive(world, parent)).output == {"had": 1}
    assert world.engine().store.memory("parent") == {}


async def test_a_remembering_step_that_a_wait_follows_lets_the_run_rest(world: World) -> None:
    from agentctl.testing.definitions import wait

    engine = world.engine()
    run_id = await engine.create(stored("loop", remember("r", k=1), wait("w", "1h")), {})
    row = await engine.drive(run_id, until="rest")
    assert (row.status, row.owner) == ("waiting", None)


async def test_the_calls_of_rounds_that_are_over_are_settled_like_any_other(world: World) -> None:
    for n in range(5):
        answers(world, f"poll[{n}].q", tokens=60)
    steps = (ask("q"), set_step("after", n="${{ index }}"))
    poll = Step(id="poll", action=Repeat(steps, max=5), uses="repeat")
    row = await drive(world, stored("loop", poll, budget=Budget(tokens=250, per="day")))
    assert row.error.type == "budget.exceeded"
    assert (row.error.data["spent_tokens"], row.error.data["reserved_tokens"]) == (180, 0)
    assert len(world.llm.calls) == 3
