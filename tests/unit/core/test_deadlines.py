"""Everything that was due is decided in the order of time: before what came later, and before anything starts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.activation import ActiveRun
from agentctl.core.interpreter import decide, fold, take_over
from agentctl.core.timestamps import LATEST, parse_instant, rfc3339
from agentctl.expressions.parse import parse_value
from agentctl.model import Approve, Definition, Group, Repeat, Retry, Step, Task, Wait
from agentctl.testing.simulation import Simulation

_spec = importlib.util.spec_from_file_location("core_strategies", Path(__file__).with_name("strategies.py"))
assert _spec is not None
assert _spec.loader is not None
strategies = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(strategies)


def task(id: str, *needs: str, params: Any = None, **keys: Any) -> Step:
    return Step(id=id, action=Task("set", parse_value(params or {"from": id})), uses="set", needs=needs, **keys)


def step(id: str, action: Any, *needs: str, **keys: Any) -> Step:
    return Step(id=id, action=action, uses=type(action).__name__.lower(), needs=needs, **keys)


def waiting(*steps: Step, outcome: Any = "done", **keys: Any) -> Simulation:
    """A run of these steps, as far as it comes without an answer from outside."""
    run = Simulation(Definition(kind="loop", name="test", steps=steps, **keys), lambda command: outcome, Random(1))
    while any(isinstance(command, cmd.Execute) for command in run.todo):
        command = next(command for command in run.todo if isinstance(command, cmd.Execute))
        run.todo.remove(command)
        run._perform(command)
    return run


def signed(run: Simulation, at: float, path: str = "ask") -> ev.ApprovalGiven:
    return ev.ApprovalGiven(at=at, path=path, approved=True, digest=run.state.approvals[path], by="ann")


def taken_up(run: Simulation, now: float, *mail: ev.AnyEvent) -> tuple[Any, Any]:
    """What a process that takes the run up at `now` decides: its state, and the activation with the mail in it."""
    active = ActiveRun(fold(run.journal, lambda version: run.plan), len(run.journal))
    return active.state, active.begin(now, inbox=mail)


def started(activation: Any) -> list[str]:
    return [event.path for event in activation.events if isinstance(event, ev.StepStarted)]


ASK = step("ask", Approve(message=parse_value("go on?"), timeout=60.0, on_timeout="reject"))


def test_an_approval_after_its_timeout_finds_the_rejection() -> None:
    run = waiting(ASK, task("ship", "ask"))
    state, activation = taken_up(run, 1000.0, signed(run, at=61.0))
    assert (state.status, state.error.type) == ("failed", "approval.rejected")
    assert started(activation) == []


def test_an_approval_before_its_timeout_counts_however_late_it_is_read() -> None:
    run = waiting(ASK, task("ship", "ask"))
    _, activation = taken_up(run, 1000.0, signed(run, at=59.0))
    assert started(activation) == ["ship"]


def test_an_event_after_the_timeout_of_its_wait_is_not_taken() -> None:
    run = waiting(step("hear", Wait(event=parse_value("go"), timeout=60.0, on_timeout="continue")))
    late = ev.EventOffered(at=61.0, path="hear", event={"name": "go", "data": {}, "id": "e1"})
    state, activation = taken_up(run, 1000.0, late)
    assert (state.status, state.output) == ("succeeded", None)
    assert not any(isinstance(event, ev.EventReceived) for event in activation.events)


def test_a_late_answer_is_not_accepted_though_the_decision_has_events() -> None:
    run = waiting(ASK)
    decision = decide(run.state, signed(run, at=61.0), 1000.0)
    assert decision.events
    assert not decision.accepted


def test_of_two_approvals_each_meets_its_own_deadline() -> None:
    other = step("other", Approve(message=parse_value("and this?"), timeout=600.0, on_timeout="reject"))
    run = waiting(ASK, other)
    state, _ = taken_up(run, 10_000.0, signed(run, 500.0, "other"), signed(run, 501.0, "ask"))
    assert (state.steps["ask"].status, state.steps["other"].status) == ("failed", "succeeded")


def test_a_run_past_its_timeout_starts_nothing_though_an_answer_came_in_time() -> None:
    run = waiting(ASK, task("ship", "ask"), timeout=90.0)
    state, activation = taken_up(run, 1000.0, signed(run, at=30.0))
    assert (state.status, state.error.type) == ("failed", "timeout")
    assert (started(activation), state.steps["ask"].status, state.steps["ship"].status) == ([], "succeeded", "not_run")


def test_a_wait_that_ends_after_the_timeout_of_its_run_starts_nothing() -> None:
    run = waiting(step("sleep", Wait(duration=parse_value("2h"))), task("ship", "sleep"), timeout=3600.0)
    state, activation = taken_up(run, 90_000.0)
    assert (state.status, state.error.type, started(activation)) == ("failed", "timeout", [])


def test_a_killed_run_past_its_timeout_executes_nothing_again() -> None:
    run = Simulation(Definition(kind="loop", name="test", steps=(task("a"),), timeout=60.0), lambda command: 0, Random(1))
    state, activation = taken_up(run, 61.0)
    assert not any(isinstance(command, cmd.Execute) for command in activation.commands)
    assert any(isinstance(command, cmd.Stop) for command in activation.commands)
    decide(state, ev.AttemptFailed(at=61.0, path="a", attempt=1, error=ev.Error("cancelled", "stopped")))
    assert (state.status, state.error.type) == ("failed", "timeout")


def test_a_group_past_its_timeout_executes_nothing_again() -> None:
    group = step("g", Group((task("a"), task("b", "a"))), timeout=60.0)
    run = Simulation(Definition(kind="loop", name="test", steps=(group, task("c"))), lambda command: 0, Random(1))
    _, activation = taken_up(run, 61.0)
    assert [command.path for command in activation.commands if isinstance(command, cmd.Execute)] == ["c"]


def test_an_overdue_retry_of_an_overdue_run_is_not_made() -> None:
    retried = task("a", retry=Retry(attempts=3, delay=10.0, jitter=0.0))
    run = waiting(retried, outcome=ev.Error("shell.exit", "1"), timeout=60.0)
    state, activation = taken_up(run, 100.0)
    assert (state.status, started(activation)) == ("failed", [])


def test_an_overdue_repeat_of_an_overdue_run_begins_no_iteration() -> None:
    poll = step("poll", Repeat((task("look"),), every=10.0, max=100))
    run = waiting(poll, timeout=60.0)
    state, activation = taken_up(run, 100.0)
    assert state.status == "failed"
    assert not any(isinstance(event, ev.BlockStarted) for event in activation.events)


def test_a_cancellation_after_the_timeout_of_the_run_does_not_change_its_outcome() -> None:
    run = waiting(ASK, timeout=30.0)
    state, _ = taken_up(run, 1000.0, ev.CancelRequested(at=40.0))
    assert (state.status, state.error.type) == ("failed", "timeout")


def test_the_deadlines_of_a_resumed_run_count_from_when_it_continues() -> None:
    run = waiting(ASK, timeout=30.0)
    state, _ = taken_up(run, 1000.0)
    assert state.status == "failed"
    run.journal += decide(run.state, ev.TimerFired(at=30.0, path="", timer="run")).events
    state, _ = taken_up(run, 9000.0, ev.RunResumed(at=5000.0))
    assert state.status == "waiting"
    assert state.timers["", "run"] == 9030.0


def test_the_end_of_what_was_due_and_the_next_start_are_one_activation() -> None:
    run = waiting(step("sleep", Wait(duration=parse_value("1h"))), task("ship", "sleep"))
    _, activation = taken_up(run, 4000.0)
    assert [type(event) for event in activation.events] == [ev.TimerFired, ev.StepSucceeded, ev.StepStarted]
    assert [command.path for command in activation.commands if isinstance(command, cmd.Execute)] == ["ship"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(strategies.definitions(), st.integers(0, 2**32), st.floats(1.0, 5e5))
def test_an_overdue_run_of_any_shape_starts_nothing_and_ends(definition: Definition, seed: int, late: float) -> None:
    """Whatever state it was left in: taken up after its own deadline, it starts no step of its own list and executes none."""
    random = Random(seed)
    limited = msgspec.structs.replace(definition, timeout=3.0, on_failure=(), on_success=(), finally_=(), on_cancel=())
    run = Simulation(limited, lambda command: ev.Error("timeout", "x") if random.random() < 0.2 else command.path, random)
    for _ in range(random.randrange(30)):
        if run.state.is_finished or not run.todo:
            break
        run._perform(run.todo.pop(0))
    if run.state.phase != "running":
        return
    state = fold(run.journal, lambda version: run.plan)
    decision = take_over(state, run.now + 3.0 + late)
    undoing = {path for path, step in state.steps.items() if ".undo" in path}
    assert {event.path for event in decision.events if isinstance(event, ev.StepStarted)} <= undoing
    assert {command.path for command in decision.commands if isinstance(command, cmd.Execute)} <= undoing
    assert state.phase != "running"


# --- times that nobody can write --------------------------------------------------------------------------------------


FAR = [1_700_000_000_000, 1e300, float("inf"), float("nan"), -1e12, 10**400, "9999-12-31T23:59:59-12:00"]


@pytest.mark.parametrize("value", FAR)
def test_a_time_outside_the_years_1_to_9999_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="is no time between the years 1 and 9999"):
        parse_instant(value)


def test_milliseconds_in_place_of_seconds_are_named() -> None:
    with pytest.raises(ValueError, match="not milliseconds"):
        parse_instant(1_700_000_000_000)


@pytest.mark.parametrize("wait", [{"until": "${{ 1700000000000 }}"}, {"duration": "999999w"}])
def test_a_wait_for_such_a_time_is_an_invalid_input(wait: dict[str, str]) -> None:
    [(name, value)] = wait.items()
    run = waiting(step("sleep", Wait(**{name: parse_value(value)})))
    assert (run.state.status, run.state.error and run.state.error.type) == ("failed", "input.invalid")


def test_a_deadline_after_the_year_9999_can_be_shown() -> None:
    run = waiting(ASK, timeout=1e15)
    assert rfc3339(run.state.timers["", "run"]) == rfc3339(LATEST)
