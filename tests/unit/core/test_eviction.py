"""A loop of any length costs the memory of one round, and nothing that is still needed is dropped."""

from __future__ import annotations

from random import Random
from typing import Any

from agentctl.core import events as ev
from agentctl.expressions.parse import parse_value
from agentctl.model import Definition, Foreach, Group, Repeat, Step, Task
from agentctl.testing.simulation import Simulation


def task(id: str, **keys: Any) -> Step:
    return Step(id=id, action=Task("set", parse_value({"from": id})), uses="set", **keys)


def each(*steps: Step, count: int = 3, **keys: Any) -> Step:
    return Step(id="each", action=Foreach(items=parse_value(list(range(count))), steps=steps), uses="foreach", **keys)


def run_of(*steps: Step, broken: str = "") -> Simulation:
    def outcome(command: Any) -> Any:
        return ev.Error("failed", "no") if command.path == broken else command.path

    definition = Definition(kind="loop", name="test", steps=steps)
    simulation = Simulation(definition, outcome, Random(1), forgetful=True)
    simulation.run()
    return simulation


def test_finished_items_are_forgotten_with_all_that_is_in_them() -> None:
    inner = Step(id="group", action=Group(steps=(task("b"),)), uses="group")
    state = run_of(each(task("a", needs=()), inner), task("after", needs=("each",))).state
    assert set(state.steps) == {"each", "after"}
    assert state.steps["each"].bodies == []
    assert not any(path.startswith("each[") for path in state.rounds)


def test_finished_iterations_are_forgotten() -> None:
    repeat = Step(id="poll", action=Repeat(steps=(task("a"),), max=50), uses="repeat")
    state = run_of(repeat, task("after", needs=("poll",))).state
    assert set(state.steps) == {"poll", "after"}
    assert state.steps_done == 52


def test_the_outputs_of_forgotten_items_are_kept() -> None:
    state = run_of(each(task("a")), task("after", needs=("each",))).state
    assert state.steps["each"].output == ["each[0].a", "each[1].a", "each[2].a"]


def test_an_item_that_failed_is_kept_for_a_resume() -> None:
    state = run_of(each(task("a")), broken="each[1].a").state
    assert state.status == "failed"
    assert "each[1].a" in state.steps
    assert "each[0].a" not in state.steps


def test_items_that_leave_traces_are_kept() -> None:
    undone = run_of(each(task("a", undo=task("undo"))), task("last", needs=("each",)), broken="last")
    assert [event.path for event in undone.journal if isinstance(event, ev.BlockStarted)] == [
        "each[2].a.undo",
        "each[1].a.undo",
        "each[0].a.undo",
    ]
    assert "each[0].a" in run_of(each(task("a", effect="once"))).state.steps
    assert "each[0].a" in run_of(each(task("a", idempotency_key=parse_value("k")))).state.steps


def test_a_resume_may_redo_a_step_that_was_forgotten() -> None:
    run = run_of(each(task("a")), task("after", needs=("each",)))
    run.deliver(ev.RunResumed(at=run.now, redo=["each[1].a"]))
    run.run()
    assert run.executed == {"each[0].a": 1, "each[1].a": 2, "each[2].a": 1, "after": 1}
