"""A snapshot restores the state it was taken of, and costs what is under way, whatever the length of the journal."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import msgspec

from agentctl.core import events as ev
from agentctl.core.activation import ActiveRun
from agentctl.core.graph import Plan
from agentctl.core.interpreter import fold
from agentctl.core.snapshot import FrameRecord, RunRecord, StepRecord, is_worthwhile, restore, save
from agentctl.core.state import Frame, RunState, StepState
from agentctl.expressions.parse import parse_value
from agentctl.model import Definition, Foreach, Group, Repeat, Step, Task, Wait
from agentctl.testing.simulation import Simulation, snapshot


def task(id: str, *needs: str, **keys: Any) -> Step:
    return Step(id=id, action=Task("set", parse_value({"from": id})), uses="set", needs=needs, **keys)


def polling(**keys: Any) -> Plan:
    sleep = Step(id="sleep", action=Wait(duration=parse_value("1s")), uses="wait")
    poll = Step(id="poll", action=Repeat((sleep, task("look", "sleep")), max=10**9), uses="repeat")
    return Plan(Definition(kind="loop", name="r", steps=(poll, task("after", "poll")), **keys))


def driven(plan: Plan, iterations: int) -> tuple[ActiveRun, list[ev.AnyEvent]]:
    """A run of `polling` after so many iterations, and its journal."""
    created = ev.RunCreated(
        at=0.0, run_id="sim", name="r", kind="loop", version="v", replay_version=ev.REPLAY_VERSION, event={"id": None}
    )
    run = ActiveRun(fold([created], lambda version: plan), 1)
    journal = [created, *run.begin(0.0).events]
    for i in range(iterations):
        at = i + 1.0
        run.forget()
        journal += run.take([ev.TimerFired(at=at, path=f"poll[{i}].sleep", timer="wait")], at).events
        journal += run.take([ev.StepSucceeded(at=at, path=f"poll[{i}].look", attempt=1, output={})], at).events
    run.forget()
    return run, journal


def test_every_attribute_of_a_state_is_in_its_record_or_made_anew() -> None:
    """A new attribute has to be recorded, or be named here with a reason."""
    derived = {"frame", "node", "path", "queued"}  # known by where the record stands; `queued`: see `_mark`
    derived |= {"agent", "call", "names", "dropped"}  # of agents: a state that holds the lists of one has no snapshot
    assert set(StepState.__slots__) - derived == set(StepRecord.__struct_fields__)
    derived = {"block", "scope", "queued", "limit"}  # `block`: of the definition.  `scope`: a cache.  `limit`: of an agent's
    assert set(Frame.__slots__) - derived == set(FrameRecord.__struct_fields__)
    state = RunState(lambda version: polling(), frozenset())
    between = {"due", "queued", "cancelled_waits", "postponed", "is_catching_up", "is_taken_over"}  # empty between decisions
    process = {"plan_of", "secret_names", "on_hold", "held_back"}  # of the process, not of the run
    process |= {"once_calls"}  # a state that has any has no snapshot
    spelled = {"timers", "_timer_heap", "frames", "steps"}  # `timer_list`, `open_frames`, `frame_records`
    recorded = set(RunRecord.__struct_fields__) - {"format", "phase", "timer_list", "open_frames", "frame_records"}
    assert set(vars(state)) - between - process - spelled == recorded


def test_a_restored_run_decides_as_the_folded_one_does() -> None:
    plan = polling(timeout=1000.0)
    run, journal = driven(plan, 5)
    data = save(run.state)
    assert data is not None
    restored = restore(data, lambda version: plan)
    assert restored is not None
    folded = fold(journal, lambda version: plan)
    folded.steps = {path: step for path, step in folded.steps.items() if path in restored.steps}
    assert snapshot(restored) == snapshot(folded)
    mail = [ev.TimerFired(at=6.0, path="poll[5].sleep", timer="wait")]
    activations = [ActiveRun(state, len(journal)).begin(6.0, inbox=mail) for state in (restored, folded)]
    assert activations[0] == activations[1]


def test_a_snapshot_does_not_grow_with_the_journal_and_is_restored_at_once() -> None:
    sizes = []
    for iterations in (10, 1500):
        run, _ = driven(polling(), iterations)
        data = save(run.state)
        assert data is not None
        sizes.append(len(data))
    assert sizes[1] < sizes[0] + 50
    began = time.perf_counter()
    assert restore(data, lambda version: run.state.plan) is not None
    assert time.perf_counter() - began < 0.05


def test_the_memory_of_a_run_does_not_grow_with_its_journal() -> None:
    """Neither with timers that were cancelled long before they were due, nor with children whose iteration is over."""
    event = Step(id="hear", action=Wait(event=parse_value("go"), timeout=1e6), uses="wait")
    poll = Step(id="poll", action=Repeat((event,), max=10**9), uses="repeat")
    run = Simulation(Definition(kind="loop", name="r", steps=(poll,)), lambda command: None, Random(1), forgetful=True)
    active = ActiveRun(run.state, len(run.journal))
    for i in range(500):
        active.forget()
        heard = {"name": "go", "data": {}, "id": f"e{i}"}
        active.take([ev.EventOffered(at=float(i), path=f"poll[{i}].hear", event=heard)], float(i))
    assert len(active.state._timer_heap) < 250


def test_a_snapshot_of_another_format_is_no_snapshot() -> None:
    run, _ = driven(polling(), 1)
    data = save(run.state)
    assert data is not None
    other = msgspec.json.encode({**msgspec.json.decode(data), "format": "old"})
    assert restore(other, lambda version: run.state.plan) is None
    assert restore(b"{}", lambda version: run.state.plan) is None
    assert restore(b"not json", lambda version: run.state.plan) is None


def test_a_run_that_has_ended_has_no_snapshot() -> None:
    run = Simulation(Definition(kind="loop", name="r", steps=(task("a"),)), lambda command: None, Random(1))
    assert save(run.run()) is None


def test_a_state_of_an_edited_definition_has_none_where_its_lists_are_not_those_of_the_plan() -> None:
    group = Step(id="g", action=Group((task("a"), task("b", "a"))), uses="steps")
    run = Simulation(Definition(kind="loop", name="r", steps=(group,)), lambda command: None, Random(1))
    run.state.plan = Plan(run.plan.definition)
    assert save(run.state) is None


def test_items_in_parallel_are_restored_with_their_outputs() -> None:
    each = Step(
        id="each", action=Foreach(parse_value("${{ range(4) | list }}"), (task("send"),), max_parallel=2), uses="foreach"
    )
    run = Simulation(Definition(kind="loop", name="r", steps=(each,)), lambda command: None, Random(1), forgetful=True)
    active = ActiveRun(run.state, len(run.journal))
    active.take([ev.StepSucceeded(at=1.0, path="each[1].send", attempt=1, output="b")], 1.0)
    active.forget()
    data = save(active.state)
    assert data is not None
    restored = restore(data, lambda version: run.plan)
    assert restored is not None
    again = ActiveRun(restored, active.head)
    again.begin(2.0)
    for path, output in (("each[0].send", "a"), ("each[2].send", "c"), ("each[3].send", "d")):
        again.take([ev.StepSucceeded(at=3.0, path=path, attempt=1, output=output)], 3.0)
    assert (restored.status, restored.output) == ("succeeded", ["a", "b", "c", "d"])


def test_snapshots_are_taken_in_proportion_to_the_journal() -> None:
    assert not is_worthwhile(499, 0)
    assert is_worthwhile(500, 2_000)
    assert not is_worthwhile(5_000, 1_000_000)
