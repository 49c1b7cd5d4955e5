"""Decisions on what is being stopped, and on the end of a run: undo steps, handlers, `RunFinished`.

When a container has taken too long, or a run is settled, its attempts under way still answer; everything else in it is cancelled.
"""

from __future__ import annotations

from agentctl import JSON
from agentctl.core import dispatch
from agentctl.core import events as ev
from agentctl.core.frames import round_key, undo_counter
from agentctl.core.kinds.kind import end_attempt
from agentctl.core.kinds.registry import kind_of
from agentctl.core.state import Frame, RunState, StepState, live_below
from agentctl.core.transition import Transition
from agentctl.expressions.duration import format_duration


def look_at_halted(run: Transition, frame: Frame) -> None:
    """Find what is being stopped above `frame`, and decide whether all in it has stopped."""
    while not frame.halted:
        owner = frame.owner
        assert owner is not None
        if owner.halted is not None:
            look_at_timed_out(run, owner)
            return
        frame = owner.frame
    if frame.role == "main":
        look_at_run(run)
    else:
        _look_at_returned(run, frame)


def _look_at_returned(run: Transition, frame: Frame) -> None:
    """A `return` ended a handler, or what an undo does, while other steps of it may have been under way."""
    assert frame.returned is not None
    if not frame.closed and _cancel(run, list(frame.live_steps())):
        end_block(run, frame, frame.returned[0], None)


def look_at_timed_out(run: Transition, step: StepState) -> None:
    """Fail the attempt of a container, a wait or a skill that took too long, once all below it has stopped."""
    if step.answer is not None and step.answer[1] is None:  # its child has succeeded after all
        end_attempt(run, step, step.answer[0], None)
        return
    if _is_awaited(run.state, step):
        return
    if not _cancel(run, list(live_below(step))):
        return
    message = f"took longer than {format_duration(step.node.step.timeout or 0.0)}"
    error = ev.Error("timeout", message, step.path, step.attempt, data=kind_of(step).timeout_data(step))
    run.emit(ev.AttemptFailed(at=run.at, path=step.path, attempt=step.attempt, error=error))


def _cancel(run: Transition, live: list[StepState]) -> bool:
    """Mark every live step cancelled, inner ones first; False, and nothing, while one has still to answer."""
    if any(_is_awaited(run.state, step) for step in live):
        return False
    for step in live:
        run.emit(ev.StepCancelled(at=run.at, path=step.path))
    return True


def _is_awaited(state: RunState, step: StepState) -> bool:
    """Whether the attempt of a step that is to stop still has to answer."""
    return step.path in state.executing or (step.path in state.children and kind_of(step).has_child_run)


def end_block(run: Transition, frame: Frame, output: JSON, error: ev.Error | None) -> None:
    """End a list that is no part of a step's attempt: a probe, an undo, a handler."""
    run.emit(ev.BlockFinished(at=run.at, path=frame.key, output=output, error=error))
    if frame.role == "undo" and error is None:
        run.commands += dispatch.withdrawals(run.state.steps[frame.prefix.removesuffix(".")])


def settle(run: Transition, error: ev.Error | None, output: JSON) -> None:
    """Decide the outcome of a run whose own list is over."""
    status = "succeeded" if error is None else "failed"
    run.emit(ev.Settled(at=run.at, status=status, output=output if error is None else None, error=error))


def look_at_run(run: Transition) -> None:
    """Decide what follows now that something about the run as a whole has changed."""
    state = run.state
    if state.phase in ("queued", "running"):
        _end_early(run)
        return
    if state.phase != "settled":
        return
    root = state.root
    if root is not None and not root.closed:
        if not _cancel(run, list(root.live_steps())):
            return
        run.emit(ev.BlockFinished(at=run.at, path=""))
    if any(frame.role in ("undo", "handler") for frame in state.frames.values()):
        return
    if state.undoable and state.outcome != "succeeded":
        step = state.undoable[-1]
        key = round_key(state, f"{step.path}.undo", undo_counter(state, step.path))
        run.emit(ev.BlockStarted(at=run.at, path=key, role="undo", owner=step.path))
    elif state.pending_handlers:
        key = round_key(state, state.pending_handlers[0])
        run.emit(ev.BlockStarted(at=run.at, path=key, role="handler"))
    else:
        assert state.outcome is not None
        run.emit(ev.RunFinished(at=run.at, status=state.outcome, output=state.output, error=state.error))


def _end_early(run: Transition) -> None:
    """A `return` was reached, somebody asked to cancel, the run was made with a problem, or it took too long."""
    state = run.state
    if state.root is not None and state.root.returned is not None:
        run.emit(ev.Settled(at=run.at, status="succeeded", output=state.root.returned[0]))
    elif state.cancel is not None:
        reason = f": {state.cancel}" if state.cancel else ""
        error = ev.Error("cancelled", f"the run was cancelled{reason}")
        run.emit(ev.Settled(at=run.at, status="cancelled", error=error))
    elif state.problem is not None:
        run.emit(ev.Settled(at=run.at, status="failed", error=state.problem))
    elif state.expired:
        error = ev.Error("timeout", f"the run took longer than {format_duration(state.plan.definition.timeout or 0.0)}")
        run.emit(ev.Settled(at=run.at, status="failed", error=error))
