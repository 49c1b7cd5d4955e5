"""A person looks up what became of a step after its run was cancelled or has failed."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from agentctl.core import events as ev
from agentctl.core.interpreter import decide, fold
from agentctl.expressions.parse import parse_value
from agentctl.model import Definition, Step, Task
from agentctl.testing.simulation import Simulation


def task(id: str, *needs: str, **keys: Any) -> Step:
    return Step(id=id, action=Task("set", parse_value({"from": id})), uses="set", needs=needs, **keys)


def cancelled_in_doubt(**keys: Any) -> Simulation:
    """A run that was cancelled while an `effect: once` step executed, whose process did not answer."""
    charge = task("charge", effect="once", undo=task("refund"), **keys)
    definition = Definition(kind="loop", name="test", steps=(charge, task("after", "charge")), on_cancel=(task("say"),))
    run = Simulation(definition, lambda command: "refunded" if command.path.endswith("undo") else "done", Random(1))
    run.todo.clear()
    run.deliver(ev.CancelRequested(at=1.0))
    cut_off = ev.Error("cancelled", "stopped")
    run.deliver(ev.AttemptFailed(at=2.0, path="charge", attempt=1, error=cut_off))
    run.run()
    assert (run.state.status, run.state.steps["charge"].status) == ("cancelled", "unknown")
    run.state = fold(run.journal, lambda version: run.plan)
    run.executed.clear()
    return run


def answer(run: Simulation, verdict: str) -> list[str]:
    """Hand the answer in; return what the run executed for it."""
    run.intents.clear()
    run.deliver(ev.StepResolved(at=10.0, path="charge", verdict=verdict, output="receipt"))
    run.run()
    return list(run.executed)


def test_a_step_that_was_done_is_undone_and_the_outcome_stays() -> None:
    run = cancelled_in_doubt()
    assert answer(run, "done") == ["charge.undo"]
    state = run.state
    assert (state.status, state.error and state.error.type) == ("cancelled", "cancelled")
    assert (state.steps["charge"].status, state.steps["charge"].output) == ("succeeded", "receipt")
    assert state.steps["after"].status == "not_run"


@pytest.mark.parametrize(("verdict", "status"), [("failed", "failed"), ("retry", "cancelled")])
def test_a_step_that_was_not_done_leaves_nothing_to_undo(verdict: str, status: str) -> None:
    run = cancelled_in_doubt()
    assert answer(run, verdict) == []
    assert (run.state.status, run.state.steps["charge"].status) == ("cancelled", status)
    assert run.state.doubts == {}


def test_handlers_do_not_run_again() -> None:
    run = cancelled_in_doubt()
    answer(run, "done")
    assert sum(isinstance(event, ev.BlockStarted) and event.role == "handler" for event in run.journal) == 1


def test_a_second_answer_is_not_taken() -> None:
    run = cancelled_in_doubt()
    answer(run, "failed")
    second = decide(run.state, ev.StepResolved(at=11.0, path="charge", verdict="done"))
    assert (second.events, second.accepted) == ([], False)


def test_the_counts_of_steps_do_not_change() -> None:
    run = cancelled_in_doubt()
    before = run.state.steps_done
    answer(run, "failed")
    assert run.state.steps_done == before


def test_a_resume_after_the_answer_executes_what_is_to_be_retried() -> None:
    run = cancelled_in_doubt()
    answer(run, "retry")
    run.deliver(ev.RunResumed(at=20.0))
    run.run()
    assert (run.state.status, run.executed) == ("succeeded", {"charge": 1, "after": 1})


def test_a_resume_after_the_answer_keeps_a_result_that_was_not_undone() -> None:
    run = cancelled_in_doubt()
    run.plan.root.nodes[0].undo = None
    run.state = fold(run.journal, lambda version: run.plan)
    answer(run, "done")
    run.deliver(ev.RunResumed(at=20.0))
    run.run()
    assert (run.state.status, run.executed) == ("succeeded", {"after": 1})
