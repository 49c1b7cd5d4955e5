"""Fold: the life of a step, from its first attempt to its end."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from agentctl import JSON
from agentctl.core import budget, lifecycle, tool_calls
from agentctl.core import events as ev
from agentctl.core.frames import close_frame
from agentctl.core.kinds.registry import kind_of
from agentctl.core.reopen import continue_round
from agentctl.core.state import Frame, RunState, StepState
from agentctl.paths import without_rounds


def step_started(state: RunState, e: ev.StepStarted) -> None:
    step = state.steps[e.path]
    node, kind = step.node, kind_of(step)
    lifecycle.move(step, "StepStarted", node.kind)
    step.attempt = e.attempt
    step.launches += 1
    step.begun = True
    step.timer_fired = step.lost = False
    step.answer = None
    if state.unknown.pop(e.path, None) is not None:
        state.cancelled_waits.append(e.path)
    if node.is_once and state.doubts:
        state.doubts.pop(tool_calls.identity(step), None)
    if node.index not in step.frame.live:
        go_live(step, e.at)
    if e.input is not None:
        step.input, step.secrets = e.input, e.secrets
    if kind.is_leaf:
        kind.started(state, step, e)
    elif step.resumed_from is not None:
        continue_round(state, step, e.at)
    else:
        step.bodies = []
        kind.started(state, step, e)
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


_SUCCESS = {"succeeded": "StepSucceeded", "recovered": "StepRecovered", "reused": "StepReused"}


def step_succeeded(state: RunState, e: ev.StepSucceeded) -> None:
    step = state.steps[e.path]
    if step.status == "pending":
        leave_ready(step.frame, step.node.index)
    lifecycle.move(step, _SUCCESS[e.status])
    step.output = e.output
    if e.status != "recovered" or state.replay_version < 3:  # `.error` of a recovered step is why it had to be recovered
        step.error = None
    if e.usage is None:  # what the call cost is not known: its reservation counts
        state.lost_tokens += state.reserved.get(e.path, 0) if state.replay_version > 2 else 0
    add_usage(state, step, e.usage)
    handed_over = step.call is not None and step.node.is_once and tool_calls.keep(state, step, e.source)
    if e.status != "reused" or handed_over:
        if step.node.undo is not None and (_is_work(step.frame) or state.replay_version < 2):
            state.undoable.append(step)
        if step.node.is_once and step.call is None:
            state.once[without_rounds(e.path)] = e.output
    if step.uses == "remember" and e.attempt:
        state.remembered.update(e.output)
    end(state, step, e.at)
    if step.node.kind == "return" and (_is_work(step.frame) or state.replay_version > 1):
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
    lifecycle.move(step, "AttemptFailed")
    step.attempt = e.attempt
    error = e.error
    is_own = error.step == e.path and state.replay_version > 2
    step.error = structs.replace(error, step=e.path, attempts=step.attempt) if is_own or not error.step else error
    step.retry_after, step.halted, step.stopping = e.retry_after, None, step.stopping and step.halted is None
    if e.usage is None and error.leaves_doubt:
        state.lost_tokens += state.reserved.get(e.path, 0)
    add_usage(state, step, e.usage)
    let_go(state, step)
    state.look_at(step)


def attempt_withdrawn(state: RunState, e: ev.AttemptWithdrawn) -> None:
    step = state.steps[e.path]
    lifecycle.move(step, "AttemptWithdrawn")
    step.attempt -= 1
    step.launches -= 1
    step.timer_fired = True  # its next attempt is due
    let_go(state, step)
    state.look_at(step)


def attempt_lost(state: RunState, e: ev.AttemptLost) -> None:
    state.lost_tokens += state.reserved.get(e.path, 0)
    lose_attempt(state, state.steps[e.path])


def lose_attempt(state: RunState, step: StepState) -> None:
    """The process of the attempt is gone. It is performed again, unless its effect may happen only once or it was to stop."""
    if step.node.is_once:
        step.lost = True
    elif step.stopping:  # nobody will answer
        step.stopping = False
        step.error = ev.Error("cancelled", "stopped", step.path, step.attempt)
        lifecycle.move(step, "AttemptFailed")
    else:
        return
    del state.executing[step.path]
    state.reserved.pop(step.path, None)
    state.look_at(step)


def retry_scheduled(state: RunState, e: ev.RetryScheduled) -> None:
    step = state.steps[e.path]
    lifecycle.move(step, "RetryScheduled")
    step.timer_fired = False  # by the pause before; an attempt that failed at its expressions never began, and left it set
    state.set_timer(e.path, "retry", e.due)


def step_failed(state: RunState, e: ev.StepFailed) -> None:
    step = state.steps[e.path]
    lifecycle.move(step, "StepFailed")
    step.error = e.error
    end(state, step, e.at)


def step_skipped(state: RunState, e: ev.StepSkipped) -> None:
    step = state.steps[e.path]
    lifecycle.move(step, "StepSkipped")
    leave_ready(step.frame, step.node.index)
    end(state, step, e.at)


def step_cancelled(state: RunState, e: ev.StepCancelled) -> None:
    step = state.steps[e.path]
    in_doubt = _is_in_doubt(step) and not step.frame.closed
    lifecycle.move(step, "StepCancelledInDoubt" if in_doubt else "StepCancelled")
    if in_doubt:
        step.error = step.error or outcome_lost(step)
        state.doubts[tool_calls.identity(step)] = step
    step.lost = False
    end(state, step, e.at)


def outcome_lost(step: StepState) -> ev.Error:
    """The error of an attempt whose process is gone without an answer."""
    return ev.Error("step.unknown_outcome", "the process ended while the step executed", step.path, step.attempt)


def _is_in_doubt(step: StepState) -> bool:
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
        tokens = usage.input_tokens + usage.output_tokens
        if usage.usd and tokens and step.uses in budget.CALLS:
            model = budget.model_of(step.input)
            state.dearest[model] = max(state.dearest.get(model, 0.0), usage.usd / tokens)
        holder = step.frame.owner
        if holder is not None and holder.agent is not None:  # it sums its turns and the runs of its calls
            holder.usage = ev.add_usage(holder.usage, usage)


def let_go(state: RunState, step: StepState) -> None:
    """Await nothing of this attempt any more."""
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
                state.cancelled_waits.append(path)
    for frame in list(step.frames.values()):
        close_frame(state, frame)


def end(state: RunState, step: StepState, at: float) -> None:
    """End a step that has its last status: the steps that need it may start, or its list has failed."""
    if step.frame.closed:  # a doubt that is settled after the end: the step had ended, and what needs it does not start
        step.timer_fired, step.answer = False, None
        return
    let_go(state, step)
    frame, index, status = step.frame, step.node.index, step.status
    step.finished_at, step.stopping, step.halted = at, False, None
    if kind_of(step).is_leaf and status != "unknown":
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
