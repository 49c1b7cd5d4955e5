"""Runs that were made with a problem: they fail as they start, in sight of everybody."""

from __future__ import annotations

from typing import Any

from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.graph import Plan
from agentctl.core.interpreter import Decision, decide, fold, take_over
from agentctl.core.state import RunState
from agentctl.expressions.parse import parse_value
from agentctl.model import Definition, Step, Task

PROBLEM = ev.Error("input.invalid", "event tick does not make a valid input", data={"event_id": "e1"})


def task(id: str, **params: Any) -> Step:
    return Step(id=id, action=Task("set", parse_value(params)), uses="set")


DEFINITION = Definition(
    kind="loop",
    name="demo",
    steps=(task("work"),),
    on_failure=(task("tell", why="${{ error.message }}", event="${{ event.id }}"),),
    timeout=60.0,
)


def begun(problem: ev.Error | None = PROBLEM) -> tuple[RunState, Decision]:
    created = ev.RunCreated(at=1.0, run_id="r", name="demo", kind="loop", version="v", event={"id": "e1"}, problem=problem)
    state = fold([created], lambda _: Plan(DEFINITION))
    return state, take_over(state, 2.0)


def finish(state: RunState, path: str) -> Decision:
    return decide(state, ev.StepSucceeded(at=3.0, path=path, attempt=1))


def test_it_fails_before_any_step_begins_and_its_handlers_run() -> None:
    state, decision = begun()
    assert [type(event) for event in decision.events] == [ev.RunStarted, ev.Settled, ev.BlockStarted, ev.StepStarted]
    [execute] = [command for command in decision.commands if isinstance(command, cmd.Execute)]
    assert execute.path == "on_failure.tell"
    assert execute.params == {"why": PROBLEM.message, "event": "e1"}
    finish(state, "on_failure.tell")
    assert (state.status, state.error, state.steps["work"].status) == ("failed", PROBLEM, "not_run")


def test_resumed_it_fails_again_for_its_input_is_what_it_was() -> None:
    state, _ = begun()
    finish(state, "on_failure.tell")
    decide(state, ev.RunResumed(at=4.0))
    finish(state, "on_failure@2.tell")
    assert (state.status, state.error, state.steps["work"].attempt) == ("failed", PROBLEM, 0)


def test_cancelled_in_the_queue_it_is_cancelled() -> None:
    created = ev.RunCreated(at=1.0, run_id="r", name="demo", kind="loop", version="v", problem=PROBLEM)
    state = fold([created], lambda _: Plan(DEFINITION))
    decide(state, ev.CancelRequested(at=2.0))
    assert state.status == "cancelled"


def test_a_journal_without_a_problem_reads_as_before() -> None:
    line = b'{"type":"RunCreated","at":1.0,"run_id":"r","name":"demo","kind":"loop","version":"v"}'
    created = ev.decode(line)
    assert isinstance(created, ev.RunCreated)
    assert (created.problem, ev.encode(created)) == (None, line)
    _, decision = begun(problem=None)
    assert [type(event) for event in decision.events] == [ev.RunStarted, ev.StepStarted]
