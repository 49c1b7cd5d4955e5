"""Fold: lists of steps that begin by a decision, and lists that are over."""

from __future__ import annotations

from typing import Any

from agentctl.core import events as ev
from agentctl.core import lifecycle, tool_calls
from agentctl.core.frames import close_frame, open_frame, undo_counter
from agentctl.core.kinds.registry import kind_of
from agentctl.core.state import Frame, RunState, StepState
from agentctl.paths import split_round, without_rounds


def block_started(state: RunState, e: ev.BlockStarted) -> None:
    if e.role == "handler":
        name = split_round(e.path)[0]
        state.pending_handlers.remove(name)
        names: dict[str, Any] = {"error": state.error.to_json() if state.error else None}
        frame = Frame(e.path, state.plan.handlers[name], "handler", outer=state.root, vars=names)
        open_frame(state, frame, name)
        return
    assert e.owner is not None
    step = state.steps[e.owner]
    node = step.node
    if e.role == "fallback":
        assert node.fallback is not None
        assert step.error is not None
        lifecycle.move(step, "FallbackStarted")
        names = {"error": step.error.to_json()}
        frame = Frame(e.path, node.fallback, "fallback", owner=step, outer=step.frame, vars=names)
        open_frame(state, frame, f"{step.path}.fallback")
    elif e.role == "probe":
        assert node.probe is not None
        frame = Frame(e.path, node.probe, "probe", owner=step, outer=step.frame, vars=step.names)
        open_frame(state, frame, f"{step.path}.probe")
    elif e.role == "undo":
        assert node.undo is not None
        state.undoable.remove(step)
        step.undone = True
        names = {"error": state.error.to_json() if state.error else None}
        if step.call is not None:
            names |= {**step.names, "output": step.output}
        frame = Frame(e.path, node.undo, "undo", outer=step.frame, prefix=f"{step.path}.", vars=names)
        open_frame(state, frame, undo_counter(state, step.path))
    else:
        kind_of(step).block_started(state, step, e)


def block_finished(state: RunState, e: ev.BlockFinished) -> None:
    frame = state.frames[e.path]
    frame.ended_well = e.error is None
    close_frame(state, frame)
    step = frame.owner
    if step is None:  # a handler, an undo, or the run's own list after a halt
        if frame.role == "undo":
            _after_undo(state, state.steps[frame.prefix.removesuffix(".")], undone=e.error is None)
        state.look_at(state)
        return
    if frame.role == "probe":
        _after_probe(state, step, e)
        state.look_at(step)
        return
    if e.error is None and not frame.block.leaves_traces:
        state.ended.append(frame)
    kind_of(step).block_finished(state, step, frame, e)
    state.look_at(step)


def _after_undo(state: RunState, step: StepState, *, undone: bool) -> None:
    """What becomes of `effect: once` when the run is resumed: what is undone, with all in it, executes again. Where the undo
    failed, the effect still stands: the step keeps its result, and is to be undone again should the run fail again."""
    if undone:
        _forget_once(state, step)
    elif step.node.is_once:
        if step.call is None:
            state.once[without_rounds(step.path)] = step.output
        step.undone = False
        state.failed_undos.append(step)


def _forget_once(state: RunState, step: StepState) -> None:
    state.once.pop(without_rounds(step.path), None)
    if step.call is not None:
        tool_calls.forget(state, step)
    for body in step.bodies:
        for inner in body.steps:
            _forget_once(state, inner)


def _after_probe(state: RunState, step: StepState, e: ev.BlockFinished) -> None:
    """`{done: true, output}`: it was done; `{done: false}`: it may execute; anything else: the probe did not find out."""
    found = e.output
    step.probed = True
    if e.error is None and isinstance(found, dict) and isinstance(found.get("done"), bool):
        state.doubts.pop(tool_calls.identity(step), None)
        if found["done"]:
            step.answer = (found.get("output"), None)
        else:
            step.timer_fired = True
