"""What events set going: runs that `emit` and `send` start, and the events that tell what became of a run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentctl.core.events import EventReceived
from agentctl.engine.engine import Engine
from agentctl.errors import ActionError
from agentctl.model import Batch, Flow, Input, Step, Trigger
from agentctl.ports import HistoryFilter, RunRow, StoredDefinition
from agentctl.testing.definitions import on_event, set_step, skill, stored, task, wait, wait_for_event
from agentctl.testing.fixtures import World
from agentctl.triggers import events

END = "agentctl.run."


def emit(id: str = "tell", event: str = "order.paid", **more: Any) -> Step:
    return task(id, {"event": event, "data": {"order": 7}, **more}, uses="emit")


def triggered(name: str, *triggers: Trigger, **more: Any) -> StoredDefinition:
    return stored(name, set_step("said", by="${{ event.data }}"), triggers=triggers, **more)


def started(engine: Engine, name: str) -> list[RunRow]:
    """The runs of a definition, oldest first."""
    return list(reversed(engine.store.history(HistoryFilter(name=name))))


async def ended(engine: Engine, *definitions: StoredDefinition) -> list[RunRow]:
    """What became of a run of each, driven until it ends or rests."""
    return [await engine.drive(await engine.create(one, {}), until="rest") for one in definitions]


async def broken(call: Any) -> Any:
    raise ActionError("shell.exit", "exit code 1")


async def test_a_step_that_emits_starts_what_the_event_triggers_and_does_not_drive_it(world: World) -> None:
    engine = world.engine()
    await world.deploy(engine, triggered("other", on_event("order.*")))
    [row] = await ended(engine, stored("first", emit(), set_step("end", a=1)))
    assert row.status == "succeeded"
    [other] = started(engine, "other")
    assert (other.status, other.trigger, other.event["id"]) == ("queued", "event", f"{row.id}/tell")
    assert (await engine.drive(other.id)).output == {"by": {"order": 7}}


async def test_an_event_that_an_engine_was_told_of_starts_what_it_triggers_once(world: World) -> None:
    engine = world.engine()
    await world.deploy(engine, triggered("other", on_event("order.paid")))
    told: list[str] = []
    engine.on_starts.append(lambda: told.append("starts"))
    _, first = await engine.send("order.paid", {}, "e1")
    _, second = await engine.send("order.paid", {}, "e1")
    await engine.send("order.refused", {}, "e2")
    assert [one.run_id for one in first.started] == [row.id for row in started(engine, "other")]
    assert (second.duplicate, second.started, told) == (True, [], ["starts"])


async def test_an_event_that_makes_no_valid_input_becomes_a_failed_run(world: World) -> None:
    engine = world.engine()
    picky = triggered("picky", on_event("order.paid"), input={"order": Input({"type": "integer"})})
    await world.deploy(engine, picky)
    _, sent = await engine.send("order.paid", {"order": "seven"})
    row = await engine.drive(str(sent.started[0].run_id))
    assert row.error is not None
    assert (row.status, row.error.type, "'order'" in row.error.message) == ("failed", "input.invalid", True)
    assert world.journal(row.id) == ["RunCreated", "RunStarted", "Settled", "RunFinished"]


async def test_a_definition_that_is_paused_is_started_by_nothing(world: World) -> None:
    engine = world.engine()
    await world.deploy(engine, triggered("other", on_event("order.paid")))
    await engine.store.pause("other", 1.0)
    await engine.send("order.paid", {})
    assert started(engine, "other") == []
    await engine.store.unpause("other", 2.0)
    await engine.send("order.paid", {})
    assert len(started(engine, "other")) == 1


# --- what became of a run ----------------------------------------------------------------------------------------------


async def test_the_end_of_a_run_is_told_in_the_commit_that_ends_it(world: World) -> None:
    engine = world.engine()
    world.shell.behave["bad"] = broken
    await world.deploy(engine, triggered("watch", on_event(END + "*")))
    good, bad = await ended(engine, stored("good", set_step("a", b=1)), stored("bad", task("bad")))
    told = [row.event for row in started(engine, "watch")]
    assert [event["name"] for event in told] == [END + "succeeded", END + "failed"]
    assert told[0]["data"] == {"run_id": good.id, "loop": "good", "status": "succeeded", "error": None, "trigger": "manual"}
    assert told[1]["data"]["error"] == bad.error.to_json()
    assert told[1]["data"]["error"]["type"] == "shell.exit"


async def test_a_run_that_is_cancelled_is_told_of_wherever_it_was(world: World) -> None:
    engine = world.engine()
    await world.deploy(engine, triggered("watch", on_event(END + "cancelled")))
    [resting] = await ended(engine, stored("slow", wait("long", "2h")))
    queued = await engine.create(stored("idle", set_step("a", b=1)), {})
    for run_id in (resting.id, queued):
        await engine.cancel(run_id)
        await engine.drive(run_id)
    assert [row.event["data"]["run_id"] for row in started(engine, "watch")] == [resting.id, queued]


async def test_a_run_that_nobody_can_say_the_outcome_of_is_told_of_once(world: World) -> None:
    engine = world.engine()

    async def silent(call: Any) -> Any:
        raise ActionError("timeout", "took longer than 1s")

    world.shell.behave["pay"] = silent
    await world.deploy(engine, triggered("watch", on_event(END + "blocked")))
    [row] = await ended(engine, stored("once", task("pay", effect="once")))
    assert row.status == "blocked"
    await engine.drive(row.id, until="rest")  # it is looked at again, and nothing is new
    [told] = started(engine, "watch")
    assert told.event["data"]["error"]["type"] == "step.unknown_outcome"


async def test_a_run_that_is_resumed_and_fails_again_is_told_of_again(world: World) -> None:
    engine = world.engine()
    world.shell.behave["bad"] = broken
    await world.deploy(engine, triggered("watch", on_event(END + "failed")))
    [row] = await ended(engine, stored("bad", task("bad")))
    await engine.resume(row.id)
    await engine.drive(row.id)
    first, second = started(engine, "watch")
    assert first.event["data"] == second.event["data"]
    assert first.event["id"] != second.event["id"]


async def test_a_loop_that_watches_for_failures_is_not_started_by_its_own(world: World) -> None:
    engine = world.engine()
    world.shell.behave["look"] = broken
    watch = stored("watch", task("look"), triggers=(on_event(END + "failed"),))
    await world.deploy(engine, watch)
    world.shell.behave["bad"] = broken
    await ended(engine, stored("bad", task("bad")))
    [row] = started(engine, "watch")
    assert (await engine.drive(row.id)).status == "failed"
    assert len(started(engine, "watch")) == 1


async def test_a_loop_that_watches_for_success_may_call_skills_that_succeed(world: World) -> None:
    engine = world.engine()
    world.skills["helper"] = stored("helper", set_step("a", b=1), kind="skill")
    await world.deploy(engine, stored("watch", skill("ask", "helper"), triggers=(on_event(END + "succeeded"),)))
    await ended(engine, stored("good", set_step("a", b=1)))
    [row] = started(engine, "watch")
    assert (await engine.drive(row.id)).status == "succeeded"
    assert len(started(engine, "watch")) == 1


async def test_the_end_of_a_run_ends_a_wait_for_it(world: World) -> None:
    engine = world.engine()
    waiting = stored("waiting", wait_for_event("end", END + "failed", "event.data.loop == 'bad'"))
    run_id = await engine.create(waiting, {})
    driving = asyncio.create_task(engine.drive(run_id))
    while not engine.store.waits(run_id):
        await asyncio.sleep(0.005)
    world.shell.behave["bad"] = broken
    [bad] = await ended(engine, stored("bad", task("bad")))
    assert (await driving).output["data"]["run_id"] == bad.id


async def test_a_wait_that_begins_after_the_end_of_a_run_finds_it(world: World) -> None:
    engine = world.engine()
    run_id = await engine.create(stored("late", task("first"), wait_for_event("end", END + "succeeded")), {})

    async def meanwhile(call: Any) -> str:
        await ended(engine, stored("good", set_step("a", b=1)))
        return "done"

    world.shell.behave["first"] = meanwhile
    assert (await engine.drive(run_id)).status == "succeeded"
    [taken] = [event for event in engine.store.journal(run_id) if isinstance(event, EventReceived)]
    assert taken.event["data"]["loop"] == "good"


@pytest.mark.parametrize("name", ["agentctl.run.failed", "agentctl.mine"])
async def test_no_step_puts_out_an_event_under_a_name_of_ours(world: World, name: str) -> None:
    engine = world.engine()
    [row] = await ended(engine, stored("liar", emit(event="${{ 'agentctl.' + '" + name.removeprefix("agentctl.") + "' }}")))
    assert row.error is not None
    assert (row.status, row.error.type) == ("failed", "input.invalid")


async def test_what_is_gathered_is_told_to_who_makes_runs_of_it(world: World) -> None:
    engine = world.engine()
    await world.deploy(engine, triggered("batched", on_event("order.paid"), flow=Flow(batch=Batch(2, 60.0))))
    told: list[str] = []
    engine.on_starts.append(lambda: told.append("starts"))
    await ended(engine, stored("first", emit()))
    assert told == ["starts"]
    assert started(engine, "batched") == []


async def test_a_trigger_that_brings_out_a_bug_concerns_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = world.engine()
    await world.deploy(engine, triggered("odd", on_event("order.paid")), triggered("other", on_event("order.paid")))
    starts_of = events.starts_of

    def breaking(stored: StoredDefinition, *arguments: Any) -> Any:
        if stored.definition.name == "odd":
            raise OverflowError("a number that nobody thought of")
        return starts_of(stored, *arguments)

    monkeypatch.setattr(events, "starts_of", breaking)
    [row] = await ended(engine, stored("first", emit()))
    assert row.status == "succeeded"
    assert (started(engine, "odd"), len(started(engine, "other"))) == ([], 1)


async def test_a_loop_that_emits_the_event_that_starts_it_ends_at_a_depth(world: World) -> None:
    engine = world.engine()
    echo = stored("echo", emit(), triggers=(on_event("order.paid"),))
    await world.deploy(engine, echo)
    await engine.send("order.paid", {}, "first")
    rows: list[RunRow] = []
    while row := next((row for row in started(engine, "echo") if row.status == "queued"), None):
        rows.append(await engine.drive(row.id))
    assert [row.status for row in rows] == [*["succeeded"] * 32, "failed"]
    assert rows[-1].error is not None
    assert (rows[-1].error.type, rows[-1].error.step) == ("event.too_deep", "tell")


async def test_a_child_run_is_as_deep_as_its_parent(world: World) -> None:
    engine = world.engine()
    world.skills["echo"] = stored("echo", emit(), kind="skill")
    caller = stored("caller", skill("call", "echo"), triggers=(on_event("order.paid"),))
    await world.deploy(engine, caller)
    await engine.send("order.paid", {}, "first")
    count = 0
    while row := next((row for row in started(engine, "caller") if row.status == "queued"), None):
        ended_row = await engine.drive(row.id)
        count += 1
    assert (count, ended_row.error and ended_row.error.type) == (33, "skill.failed")
