"""Fold: the life of a step, from its first attempt to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import structs

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core import lifecycle
from agentctl.core.budget import estimate
from agentctl.core.frames import close_frame, open_frame, round_key, without_rounds
from agentctl.core.reopen import go_on, open_items
from agentctl.core.state import Frame, RunState, StepState
from agentctl.model import Approve, Wait


def step_started(state: RunState, e: ev.StepStarted) -> None:
    step = state.steps[e.path]
    node = step.node
    step.status = lifecycle.next_step_status(e.path, step.status, "StepStarted")
    step.attempt = e.attempt
    step.launches += 1
    step.begun = True
    step.fired = step.lost = False
    step.answer = None
    if state.unknown.pop(e.path, None) is not None:
        state.forgotten.append(e.path)
    if node.is_once and state.doubts:
        state.doubts.pop(without_rounds(e.path), None)
    if node.index not in step.frame.live:
        go_live(step, e.at)
    if e.input is not None:
        step.input, step.secrets = e.input, e.secrets
    if node.kind == "task":
        state.executing[e.path] = step
        if node.step.uses == "llm":
            state.reserved[e.path] = estimate(step.input)
    elif step.held is not None:
        go_on(state, step, e.at)
    else:
        step.bodies = []
        _started[node.kind](state, step, e)
        timeout = node.step.timeout
        if timeout is not None and step.answer is None:
            state.set_timer(e.path, "timeout", e.at + timeout)


def go_live(step: StepState, at: float) -> None:
    step.started_at = at
    step.frame.live[step.node.index] = step
    leave_ready(step.frame, step.node.index)


def leave_ready(frame: Frame, index: int) -> None:
    ready = frame.ready
    if ready and ready[0] == index:
        ready.popleft()
    elif index in ready:
        ready.remove(index)


def _group_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    assert step.node.body is not None
    key = round_key(state, step.path)
    # The list of an undo step has that step's path for its key: a group's own list needs another.
    frame = Frame(f"{key}()", step.node.body, "group", owner=step, outer=step.frame, prefix=f"{key}.")
    open_frame(state, frame, step.path)


def _foreach_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.input = {"items": step.input["items"], "key": round_key(state, step.path)}  # `key`: of this round's items
    state.rounds[step.path] = state.rounds.get(step.path, 0) + 1
    step.outputs = [None] * len(step.input["items"])
    step.iteration, step.failure = 0, None
    open_items(state, step, e.at)
    state.look_at(step)


def _repeat_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.input = {"key": round_key(state, step.path)}
    state.rounds[step.path] = state.rounds.get(step.path, 0) + 1
    step.iteration, step.last, step.failure, step.fired = 0, None, None, True
    state.look_at(step)


def _wait_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.status = "waiting"
    if "run" in step.input:
        state.children[step.path] = step.input["run"]
        _set_wait_timer(state, step, e.at)
    elif "event" in step.input:
        state.subscriptions[step.path] = step.input["event"]
        _set_wait_timer(state, step, e.at)
    else:
        state.set_timer(step.path, "wait", step.input["due"])


def _approve_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.status = "waiting"
    state.approvals[step.path] = step.input["digest"]
    _set_wait_timer(state, step, e.at)


def _set_wait_timer(state: RunState, step: StepState, at: float) -> None:
    action = step.node.step.action
    assert isinstance(action, Wait | Approve)
    if action.timeout is not None:
        state.set_timer(step.path, "wait", at + action.timeout)


def _skill_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.child = e.child
    assert e.child is not None
    step.status = "waiting"
    state.children[step.path] = e.child


def _return_started(state: RunState, step: StepState, e: ev.StepStarted) -> None:
    step.status = "waiting"
    step.answer = (step.input["value"], None)
    state.look_at(step)


_started: dict[str, Callable[[RunState, StepState, ev.StepStarted], None]] = {
    "group": _group_started,
    "foreach": _foreach_started,
    "repeat": _repeat_started,
    "wait": _wait_started,
    "approve": _approve_started,
    "skill": _skill_started,
    "return": _return_started,
}


def step_succeeded(state: RunState, e: ev.StepSucceeded) -> None:
    step = state.steps[e.path]
    if step.status == "pending":
        leave_ready(step.frame, step.node.index)
    lifecycle.next_step_status(e.path, step.status, "StepSucceeded")
    step.output, step.error = e.output, None
    add_usage(state, step, e.usage)
    if e.status != "reused":
        if step.node.undo is not None and (_is_work(step.frame) or state.rules < 2):
            state.undoable.append(step)
        if step.node.is_once:
            state.once[without_rounds(e.path)] = e.output
    end(state, step, e.status, e.at)
    if step.node.kind == "return" and (_is_work(step.frame) or state.rules > 1):
        _return(state, _outermost(step.frame), e.output)


def _return(state: RunState, frame: Frame, value: JSON) -> None:
    """End the run; or, of a handler or what an undo does, just that: the outcome of the run is settled by then."""
    frame.returned = (value,)
    halt(state, frame)
    state.look_at(frame)


def _is_work(frame: Frame) -> bool:
    """Whether it belongs to the steps of the run itself: what undo steps and handlers do is not undone."""
    return _outermost(frame).role == "main"


def _outermost(frame: Frame) -> Frame:
    """The list that `frame` is in which is no step's part: the run's own, that of a handler or of an undo step."""
    while frame.owner is not None:
        frame = frame.owner.frame
    return frame


def attempt_failed(state: RunState, e: ev.AttemptFailed) -> None:
    step = state.steps[e.path]
    if step.status == "pending":  # its expressions failed: the attempt was over before it began
        go_live(step, e.at)
    step.status = lifecycle.next_step_status(e.path, step.status, "AttemptFailed")
    step.attempt = e.attempt
    error = e.error
    step.error = error if error.step else structs.replace(error, step=e.path, attempts=step.attempt)
    step.retry_after, step.halted, step.stopping = e.retry_after, None, step.stopping and step.halted is None
    if e.usage is None and error.leaves_doubt:
        state.lost_tokens += state.reserved.get(e.path, 0)
    add_usage(state, step, e.usage)
    let_go(state, step)
    state.look_at(step)


def attempt_withdrawn(state: RunState, e: ev.AttemptWithdrawn) -> None:
    step = state.steps[e.path]
    step.status = lifecycle.next_step_status(e.path, step.status, "AttemptWithdrawn")
    step.attempt -= 1
    step.launches -= 1
    step.fired = True  # its next attempt is due
    let_go(state, step)
    state.look_at(step)


def retry_scheduled(state: RunState, e: ev.RetryScheduled) -> None:
    step = state.steps[e.path]
    step.status = lifecycle.next_step_status(e.path, step.status, "RetryScheduled")
    step.fired = False  # by the pause before; an attempt that failed at its expressions never began, and left it set
    state.set_timer(e.path, "retry", e.due)


def step_failed(state: RunState, e: ev.StepFailed) -> None:
    step = state.steps[e.path]
    lifecycle.next_step_status(e.path, step.status, "StepFailed")
    step.error = e.error
    end(state, step, "failed", e.at)


def step_skipped(state: RunState, e: ev.StepSkipped) -> None:
    step = state.steps[e.path]
    lifecycle.next_step_status(e.path, step.status, "StepSkipped")
    leave_ready(step.frame, step.node.index)
    end(state, step, "skipped", e.at)


def step_cancelled(state: RunState, e: ev.StepCancelled) -> None:
    step = state.steps[e.path]
    lifecycle.next_step_status(e.path, step.status, "StepCancelled")
    in_doubt = is_in_doubt(step)
    if in_doubt:
        step.error = step.error or outcome_lost(step)
        state.doubts[without_rounds(e.path)] = step
    step.lost = False
    end(state, step, "unknown" if in_doubt else "cancelled", e.at)


def outcome_lost(step: StepState) -> ev.Error:
    """Of an attempt whose process is gone without an answer."""
    return ev.Error("step.unknown_outcome", "the process ended while the step executed", step.path, step.attempt)


def is_in_doubt(step: StepState) -> bool:
    """True when an attempt of an `effect: once` step was begun and did not say how it ended."""
    if not step.node.is_once or step.node.body is not None:  # of a container, only the steps in it can be
        return False
    return step.status in ("running", "unknown") or (
        step.status == "failing" and step.error is not None and step.error.leaves_doubt
    )


def halt(state: RunState, frame: Frame) -> None:
    """Start nothing more in or below `frame`; attempts and children under way are to be stopped."""
    frame.halted = True
    for step in frame.live_steps():
        step.stopping = step.path in state.executing or step.path in state.children


def add_usage(state: RunState, step: StepState, usage: ev.Usage | None) -> None:
    if usage is not None:
        step.usage = ev.add_usage(step.usage, usage)
        state.usage = ev.add_usage(state.usage, usage)


def let_go(state: RunState, step: StepState) -> None:
    """Nothing of this attempt is awaited any more."""
    path = step.path
    state.executing.pop(path, None)
    state.children.pop(path, None)
    if state.reserved:
        state.reserved.pop(path, None)
    if state.timers:
        for timer in ("timeout", "retry", "wait", "pause"):
            state.timers.pop((path, timer), None)
    if state.unknown or state.subscriptions or state.approvals or state.lookups:
        waits: tuple[dict[str, Any], ...] = (state.unknown, state.subscriptions, state.approvals, state.lookups)
        for waiting in waits:
            if waiting.pop(path, None) is not None:
                state.forgotten.append(path)
    for frame in list(step.frames.values()):
        close_frame(state, frame)


def end(state: RunState, step: StepState, status: str, at: float) -> None:
    """The step is over: tell those that need it, or that its list has failed."""
    let_go(state, step)
    frame, index = step.frame, step.node.index
    step.status, step.finished_at, step.stopping, step.halted = status, at, False, None
    if step.node.kind == "task" and status != "unknown":
        step.input = None  # the journal has it
    frame.live.pop(index, None)
    frame.left -= 1
    state.steps_done += 1
    if status in lifecycle.WELL or (status == "failed" and step.node.step.continue_on_error):
        for dependent in frame.block.dependents[index]:
            frame.waiting[dependent] -= 1
            if frame.waiting[dependent] == 0 and frame.steps[dependent].status == "pending":  # else a resume has kept it
                frame.ready.append(dependent)
    elif status == "failed" and frame.failure is None:
        frame.failure = step.error
    state.look_at(frame)
