"""The interpreter in a hostile world: random graphs, random outcomes, crashes, duplicates, late answers."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.core import events as ev
from agentctl.core.commands import Execute
from agentctl.core.interpreter import hold
from agentctl.model import Definition
from agentctl.testing.simulation import Simulation

_spec = importlib.util.spec_from_file_location("core_strategies", Path(__file__).with_name("strategies.py"))
assert _spec is not None
assert _spec.loader is not None
strategies = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(strategies)

SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
ERRORS = ["timeout", "shell.exit", "failed", "http.status.503", "llm.auth"]


def outcomes(random: Random, failing: float):
    def outcome(command: Execute) -> object:
        if random.random() < failing:
            return ev.Error(random.choice(ERRORS), "it went wrong")
        if command.path.endswith(".probe.look"):
            return random.choice([{"done": True, "output": "done"}, {"done": False}, "cannot tell"])
        return command.path

    return outcome


@SLOW
@given(strategies.definitions(), st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.5]))
def test_every_run_ends_whatever_its_steps_answer(definition: Definition, seed: int, failing: float) -> None:
    random = Random(seed)
    state = Simulation(definition, outcomes(random, failing), random).run()

    assert state.status in ("succeeded", "failed")
    assert not state.executing
    assert not state.children
    assert not state.frames


@SLOW
@given(strategies.definitions(), st.integers(0, 2**32), st.sampled_from([0.0, 0.3]))
def test_crashes_duplicates_and_late_answers_do_no_harm(definition: Definition, seed: int, failing: float) -> None:
    random = Random(seed)
    simulation = Simulation(definition, outcomes(random, failing), random, trouble=0.15)

    state = simulation.run()

    assert state.status in ("succeeded", "failed")
    assert len(simulation.journal) == state.head
    doubts = {path for path, step in state.steps.items() if step.status == "unknown"}
    assert simulation.claims <= doubts, "a key stays claimed by a run that has ended"


@SLOW
@given(strategies.definitions(), st.integers(0, 2**32))
def test_any_prefix_of_a_journal_is_a_place_to_go_on_from(definition: Definition, seed: int) -> None:
    random = Random(seed)
    whole = Simulation(definition, outcomes(random, 0.2), random)
    whole.run()

    for length in range(1, len(whole.journal)):
        part = Simulation(definition, outcomes(random, 0.2), random)
        part.journal = whole.journal[:length]
        part.now = whole.journal[length - 1].at
        part.restart()
        assert part.run().is_finished


@SLOW
@given(strategies.definitions(), st.integers(0, 2**32), st.integers(0, 40))
def test_a_cancelled_run_stops_wherever_it_is(definition: Definition, seed: int, when: int) -> None:
    random = Random(seed)
    simulation = Simulation(definition, outcomes(random, 0.1), random, trouble=0.05)
    for _ in range(when):
        if simulation.state.is_finished:
            return
        if simulation.todo:
            simulation._perform(simulation.todo.pop(0))
        else:
            simulation._wake()
    settled = simulation.state.phase != "running"
    simulation.trouble = 0.0
    simulation.deliver(ev.CancelRequested(at=simulation.now, reason="enough"))

    state = simulation.run()
    assert state.status in (("succeeded", "failed") if settled else ("cancelled",))
    assert simulation.claims <= {path for path, step in state.steps.items() if step.status == "unknown"}


@SLOW
@given(strategies.definitions(), st.integers(0, 2**32))
def test_a_resumed_run_keeps_what_finished_and_ends(definition: Definition, seed: int) -> None:
    random = Random(seed)
    simulation = Simulation(definition, outcomes(random, 0.4), random)
    state = simulation.run()
    kept = {p: s.output for p, s in state.steps.items() if s.status == "succeeded" and not s.bodies and not s.undone}
    before = dict(simulation.executed)
    simulation.outcome = outcomes(random, 0.0)
    simulation.sent.clear()
    if state.status != "failed":
        return

    simulation.deliver(ev.RunResumed(at=simulation.now))
    state = simulation.run()

    assert state.is_finished
    again = [path for path in kept if simulation.executed.get(path, 0) > before.get(path, 0)]
    assert [path for path in again if not _may_run_again(path)] == []


def _may_run_again(path: str) -> bool:
    """Handlers, fallbacks, undo steps and the rounds of a container that failed as a whole are run anew."""
    return any(part in path for part in ("on_", "finally", "fallback", "undo"))


@SLOW
@given(strategies.definitions(), st.integers(0, 2**32), st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 0.15]))
def test_forgetting_changes_no_decision(definition: Definition, seed: int, failing: float, trouble: float) -> None:
    journals = []
    for forgetful in (False, True):
        random = Random(seed)
        run = Simulation(definition, outcomes(random, failing), random, trouble=trouble, forgetful=forgetful)
        state = run.run()
        if state.status == "failed":
            run.sent.clear()
            run.deliver(ev.RunResumed(at=run.now))
            run.run()
        journals.append(run.journal)

    assert journals[0] == journals[1]


def wound_up(definition: Definition, seed: int, when: int) -> tuple[Simulation, int]:
    """A run that was put on hold after `when` turns; what was under way has ended or, if it had not begun, was withdrawn.

    Also how long its journal was when it was put on hold.
    """
    random = Random(seed)
    simulation = Simulation(definition, outcomes(random, 0.2), random)
    for _ in range(when):
        if simulation.state.is_finished:
            break
        if simulation.todo:
            simulation._perform(simulation.todo.pop(0))
        else:
            simulation._wake()
    hold(simulation.state)
    held_at = len(simulation.journal)
    while simulation.state.executing and simulation.todo:
        command = simulation.todo.pop(0)
        if isinstance(command, Execute) and random.random() < 0.5:
            simulation.deliver(ev.AttemptWithdrawn(at=simulation.now, path=command.path, attempt=command.attempt))
        else:
            simulation._perform(command)
    return simulation, held_at


@SLOW
@given(strategies.definitions(), st.integers(0, 2**32), st.integers(0, 40))
def test_on_hold_nothing_starts_and_all_that_was_under_way_is_accounted_for(definition: Definition, seed: int, when: int) -> None:
    simulation, held_at = wound_up(definition, seed, when)
    assert not simulation.state.executing, "an attempt that was journaled as started is left without an outcome"
    assert not any(isinstance(event, ev.StepStarted | ev.StepKeyed) for event in simulation.journal[held_at:])

    head = len(simulation.journal)
    simulation.restart()
    assert not any(isinstance(event, ev.OutcomeUnknown | ev.RunRecovered) for event in simulation.journal[head:])
    assert simulation.run().is_finished


@SLOW
@given(strategies.definitions(), st.integers(0, 2**32), st.integers(0, 40))
def test_a_run_that_was_on_hold_says_that_it_could_go_on_at_once(definition: Definition, seed: int, when: int) -> None:
    """Else its driver would take it for one that waits, and nobody would take it up again."""
    simulation, _ = wound_up(definition, seed, when)
    told, head = simulation.state.held_back, len(simulation.journal)
    simulation.restart()
    assert told or len(simulation.journal) == head


@SLOW
@given(strategies.definitions(), st.integers(0, 2**32), st.integers(0, 40))
def test_answers_to_an_ended_run_undo_what_they_make_due_and_leave_its_outcome(
    definition: Definition, seed: int, when: int
) -> None:
    random = Random(seed)
    simulation = Simulation(definition, outcomes(random, 0.3), random, trouble=0.1)
    for _ in range(when):
        if simulation.state.is_finished:
            break
        if simulation.todo:
            simulation._perform(simulation.todo.pop(0))
        else:
            simulation._wake()
    simulation.trouble = 0.0
    if not simulation.state.is_finished:
        simulation.deliver(ev.CancelRequested(at=simulation.now))
    ended = simulation.run()
    outcome = (ended.status, ended.output, ended.error)
    doubts = [path for path, step in ended.steps.items() if step.status == "unknown"]
    if ended.status == "succeeded":
        return
    simulation.sent.clear()
    simulation.todo.clear()  # its process has let go of it
    for path in doubts:
        before = set(simulation.executed)
        verdict = random.choice(["done", "retry", "failed"])
        simulation.state = simulation._loaded()
        simulation.deliver(ev.StepResolved(at=simulation.now, path=path, verdict=verdict))
        state = simulation.run()
        assert (state.status, state.output, state.error) == outcome
        assert state.steps[path].status == {"done": "succeeded", "retry": "cancelled", "failed": "failed"}[verdict]
        assert all(".undo" in started for started in set(simulation.executed) - before)
