"""`effect: once`: an attempt without an answer is a doubt, the run is blocked, and a word from a person moves it on."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from agentctl.core.events import StepStarted
from agentctl.engine.engine import Engine
from agentctl.errors import ActionError
from agentctl.model import Retry, Step
from agentctl.ports import Call, StoredDefinition
from agentctl.testing.definitions import AT_ONCE, skill, stored, task
from agentctl.testing.fixtures import World


def once(id: str, **more: Any) -> Step:
    return task(id, effect="once", **more)


CHARGE = stored("charge", once("pay"), task("ship"))


async def forever(call: Call) -> Any:
    await asyncio.Event().wait()


async def begun(world: World, path: str) -> None:
    while path not in world.shell.paths:
        await asyncio.sleep(0.01)


async def stopped_while_paying(world: World, definition: StoredDefinition = CHARGE, *also: str) -> str:
    """The run, after a process that was told to stop while step `pay` (and those of `also`) executed."""
    engine = world.engine()
    world.shell.behave.update(dict.fromkeys(["pay", *also], forever))
    run_id = await engine.create(definition, {})
    driving = asyncio.create_task(engine.drive(run_id))
    for path in ("pay", *also):
        await begun(world, path)
    await engine.stop()
    assert (await driving).status == "interrupted"
    engine.store.close()
    world.shell.behave.clear()
    world.shell.calls.clear()
    return run_id


@pytest.mark.parametrize(
    ("verdict", "status", "performed"),
    [("done", "succeeded", ["ship"]), ("retry", "succeeded", ["pay", "ship"]), ("failed", "failed", [])],
)
async def test_a_step_that_was_stopped_with_its_process_waits_for_a_verdict(
    world: World, verdict: str, status: str, performed: list[str]
) -> None:
    run_id = await stopped_while_paying(world)
    engine = world.engine()
    assert (await engine.drive(run_id)).status == "blocked"
    assert (await world.engine().drive(run_id)).status == "blocked"
    assert world.shell.calls == []
    await engine.resolve(run_id, "pay", verdict, output="receipt", by="ann")
    assert (await engine.drive(run_id)).status == status
    assert world.shell.paths == performed


async def test_a_verdict_from_another_process_reaches_whoever_drives_the_run(world: World) -> None:
    definition = stored("both", once("pay"), task("slow", needs=AT_ONCE))
    run_id = await stopped_while_paying(world, definition, "slow")
    world.shell.behave["slow"] = forever
    engine = world.engine()
    driving = asyncio.create_task(engine.drive(run_id))
    await begun(world, "slow")
    await world.engine().resolve(run_id, "pay", "done")
    while "StepResolved" not in world.journal(run_id):
        await asyncio.sleep(0.01)
    assert not driving.done()
    await engine.stop()
    await driving


async def test_an_attempt_that_takes_too_long_is_in_doubt_and_not_tried_again(world: World) -> None:
    world.shell.behave["pay"] = forever
    engine = world.engine()
    hasty = stored("hasty", once("pay", timeout=0.05, retry=Retry(attempts=5, delay=0.01)))
    assert (await engine.drive(await engine.create(hasty, {}))).status == "blocked"
    assert world.shell.paths == ["pay"]


@pytest.mark.parametrize(
    ("type", "data", "performed"),
    [
        ("shell.exit", None, 2),  # the program said that it failed
        ("shell.signal", None, 1),
        ("output.invalid", None, 1),
        ("http.connect", None, 1),
        ("http.connect", {"sent": False}, 2),  # nothing left this machine
        ("http.status.503", None, 2),
    ],
)
async def test_only_an_answer_that_says_so_is_a_failure_of_an_effect(world: World, type: str, data: Any, performed: int) -> None:
    async def fail(call: Call) -> Any:
        raise ActionError(type, "no", data)

    world.shell.behave["pay"] = fail
    engine = world.engine()
    definition = stored("effect", once("pay", retry=Retry(attempts=2, delay=0.01)))
    row = await engine.drive(await engine.create(definition, {}))
    assert row.status == ("failed" if performed == 2 else "blocked")
    assert len(world.shell.calls) == performed


async def test_a_cancelled_attempt_leaves_a_doubt_that_blocks_the_resume(world: World) -> None:
    world.shell.behave["pay"] = forever
    engine = world.engine()
    run_id = await engine.create(CHARGE, {})
    driving = asyncio.create_task(engine.drive(run_id))
    await begun(world, "pay")
    await engine.cancel(run_id)
    assert (await driving).status == "cancelled"
    await engine.resume(run_id)
    assert (await engine.drive(run_id)).status == "blocked"
    world.shell.behave.clear()
    await engine.resolve(run_id, "pay", "retry")
    assert (await engine.drive(run_id)).status == "succeeded"
    first, second = (call for call in world.shell.calls if call.path == "pay")
    assert (second.params, second.idempotency_key) == (first.params, first.idempotency_key)


async def test_a_verdict_leaves_a_run_that_ended_with_the_doubt_as_it_ended_and_a_resume_keeps_it(world: World) -> None:
    run_id = await stopped_while_paying(world)
    engine = world.engine()
    await engine.cancel(run_id)
    assert (await engine.drive(run_id)).status == "cancelled"
    await engine.resolve(run_id, "pay", "done")
    assert (await engine.drive(run_id)).status == "cancelled"
    assert world.shell.paths == []
    await engine.resume(run_id)
    assert (await engine.drive(run_id)).status == "succeeded"
    assert world.shell.paths == ["ship"]


async def test_what_does_not_need_the_step_in_doubt_goes_on(world: World) -> None:
    async def fail_once(call: Call) -> Any:
        if call.attempt == 1:
            raise ActionError("timeout", "too slow")
        return "done"

    definition = stored("both", once("pay"), task("other", needs=AT_ONCE, retry=Retry(attempts=2, delay=0.05)))
    run_id = await stopped_while_paying(world, definition, "other")
    world.shell.behave["other"] = fail_once
    engine = world.engine()
    row = await engine.drive(run_id)
    assert row.status == "blocked"
    assert [call.attempt for call in world.shell.calls] == [1, 2]


async def test_a_run_whose_child_is_blocked_is_not_waited_for(world: World) -> None:
    world.skills["charge"] = stored("charge", once("pay"), kind="skill")
    run_id = await stopped_while_paying(world, stored("order", skill("call", "charge"), task("ship")))
    engine = world.engine()
    assert (await engine.drive(run_id)).status == "waiting"
    (child,) = world.children(run_id)
    assert child.status == "blocked"
    await engine.resolve(child.id, "pay", "done", output="receipt")
    assert (await engine.drive(run_id)).status == "succeeded"
    assert world.shell.paths == ["ship"]


@pytest.mark.parametrize(("done", "performed"), [(True, ["pay.probe.look"]), (False, ["pay.probe.look", "pay"])])
async def test_a_probe_answers_in_place_of_a_person(world: World, done: bool, performed: list[str]) -> None:
    probed = stored("probed", once("pay", on_unknown="probe", probe=(task("look"),)))
    run_id = await stopped_while_paying(world, probed)

    async def look(call: Call) -> Any:
        return {"done": done, "output": "receipt"}

    world.shell.behave["pay.probe.look"] = look
    row = await world.engine().drive(run_id)
    assert (row.status, row.output) == ("succeeded", "receipt" if done else "did pay")
    assert world.shell.paths == performed


@pytest.mark.parametrize("said", ["I cannot tell", {"done": "perhaps"}, None])
async def test_a_probe_that_cannot_tell_leaves_it_to_a_person(world: World, said: Any) -> None:
    probed = stored("probed", once("pay", on_unknown="probe", probe=(task("look"),)))
    run_id = await stopped_while_paying(world, probed)

    async def look(call: Call) -> Any:
        if said is None:
            raise ActionError("failed", "the bank is closed")
        return said

    world.shell.behave["pay.probe.look"] = look
    engine = world.engine()
    assert (await engine.drive(run_id)).status == "blocked"
    await engine.resolve(run_id, "pay", "done", output="seen by hand")
    assert (await engine.drive(run_id)).output == "seen by hand"


async def test_on_unknown_fail_makes_the_doubt_a_failure(world: World) -> None:
    definition = stored("strict", once("pay", on_unknown="fail", retry=Retry(attempts=3, on=("*",))))
    run_id = await stopped_while_paying(world, definition)
    row = await world.engine().drive(run_id)
    assert row.error is not None
    assert (row.status, row.error.type) == ("failed", "step.unknown_outcome")
    assert world.shell.calls == []


async def test_a_blocked_run_still_runs_out_of_time(world: World) -> None:
    run_id = await stopped_while_paying(world, stored("brief", once("pay"), timeout=2.5))
    engine = world.engine()
    assert (await engine.drive(run_id)).status == "blocked"
    await engine.stop()
    other = world.engine()
    while run_id not in other.store.due(other.clock.now()):
        await asyncio.sleep(0.05)
    row = await other.drive(run_id)
    assert row.error is not None
    assert (row.status, row.error.type) == ("failed", "timeout")


async def test_only_the_first_of_two_verdicts_counts(world: World) -> None:
    run_id = await stopped_while_paying(world)
    engine = world.engine()
    await engine.drive(run_id, until="rest")
    await engine.stop()
    other = world.engine()
    await other.resolve(run_id, "pay", "done", output="first")
    await other.resolve(run_id, "pay", "retry")
    assert (await other.drive(run_id)).status == "succeeded"
    assert world.shell.paths == ["ship"]
    assert sum(isinstance(event, StepStarted) and event.path == "pay" for event in other.store.journal(run_id)) == 1


def test_a_step_that_its_process_did_not_outlive_is_in_doubt(world: World) -> None:
    async def die_while_paying(engine: Engine) -> None:
        world.shell.behave["pay"] = forever
        run_id = await engine.create(CHARGE, {})
        (world.root / "id").write_text(run_id)
        driving = asyncio.create_task(engine.drive(run_id))
        await begun(world, "pay")
        driving.add_done_callback(lambda task: None)

    world.killed(die_while_paying)
    run_id = (world.root / "id").read_text()
    row = asyncio.run(world.engine().drive(run_id))
    assert row.status == "blocked"
    assert world.shell.calls == []


async def cancelled_while_paying(world: World) -> tuple[Engine, str]:
    """A run that was cancelled with its payment in doubt, and an engine."""
    run_id = await stopped_while_paying(world, stored("order", once("pay", undo=task("refund")), task("ship")))
    engine = world.engine()
    assert (await engine.drive(run_id)).status == "blocked"
    await engine.cancel(run_id)
    assert (await engine.drive(run_id)).status == "cancelled"
    assert world.shell.paths == []
    return engine, run_id


async def test_an_answer_to_a_cancelled_run_undoes_what_was_done_and_leaves_it_cancelled(world: World) -> None:
    engine, run_id = await cancelled_while_paying(world)
    await engine.resolve(run_id, "pay", "done", output="receipt")
    row = await engine.drive(run_id)
    assert row.status == "cancelled"
    assert world.shell.paths == ["pay.undo"]
    [reported] = sqlite3.connect(world.root / ".agentctl" / "agentctl.db").execute(
        "SELECT count(*) FROM events WHERE name = 'agentctl.run.cancelled'"
    )
    assert reported == (1,)


@pytest.mark.parametrize("verdict", ["failed", "retry"])
async def test_an_answer_to_a_cancelled_run_that_nothing_was_done_executes_nothing(world: World, verdict: str) -> None:
    engine, run_id = await cancelled_while_paying(world)
    await engine.resolve(run_id, "pay", verdict)
    assert (await engine.drive(run_id)).status == "cancelled"
    assert world.shell.paths == []
