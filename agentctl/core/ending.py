"""How what is under way comes to its end: a container that took too long, a run that is settled or stopped.

Running attempts are let answer, everything else below is cancelled; of a run the undo steps and the handlers come then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core.frames import round_key, undo_counter
from agentctl.core.state import Frame, RunState, StepState, live_below
from agentctl.expressions.duration import format_duration

if TYPE_CHECKING:
    from agentctl.core.decider import Decider


def look_at_halted(run: Decider, frame: Frame) -> None:
    """Find what is being stopped above `frame`, and look whether it has come to rest."""
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


def _look_at_returned(run: Decider, frame: Frame) -> None:
    """A `return` ended a handler, or what an undo does, while other steps of it may have been under way."""
    assert frame.returned is not None
    if not frame.closed and _cancel(run, list(frame.live_steps())):
        run.end_block(frame, frame.returned[0], None)


def look_at_timed_out(run: Decider, step: StepState) -> None:
    """A container, a wait or a skill took too long: once all below it has stopped, this attempt has failed."""
    if step.answer is not None and step.answer[1] is None:  # its child ended well after all
        run.end_container(step, step.answer[0], None)
        return
    if step.path in run.state.children and step.node.kind == "skill":
        return
    if not _cancel(run, list(live_below(step))):
        return
    error = ev.Error("timeout", f"took longer than {format_duration(step.node.step.timeout or 0.0)}", step.path, step.attempt)
    run.emit(ev.AttemptFailed(at=run.at, path=step.path, attempt=step.attempt, error=error))


def _cancel(run: Decider, live: list[StepState]) -> bool:
    """Mark every live step cancelled, inner ones first; False, and nothing, while one has still to answer."""
    if any(_is_awaited(run.state, step) for step in live):
        return False
    for step in live:
        run.emit(ev.StepCancelled(at=run.at, path=step.path))
    return True


def _is_awaited(state: RunState, step: StepState) -> bool:
    return step.path in state.executing or (step.path in state.children and step.node.kind == "skill")


def settle(run: Decider, error: ev.Error | None, output: JSON) -> None:
    status = "succeeded" if error is None else "failed"
    run.emit(ev.Settled(at=run.at, status=status, output=output if error is None else None, error=error))


def look_at_run(run: Decider) -> None:
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
    elif state.todo:
        key = round_key(state, state.todo[0])
        run.emit(ev.BlockStarted(at=run.at, path=key, role="handler"))
    else:
        assert state.outcome is not None
        run.emit(ev.RunFinished(at=run.at, status=state.outcome, output=state.output, error=state.error))


def _end_early(run: Decider) -> None:
    """A `return` was reached, somebody asked to cancel, the run was made with a problem, or it took too long."""
    state = run.state
    if state.root is not None and state.root.returned is not None:
        run.emit(ev.Settled(at=run.at, status="succeeded", output=state.root.returned[0]))
    elif state.cancel is not None:
        said = f": {state.cancel}" if state.cancel else ""
        error = ev.Error("cancelled", f"the run was cancelled{said}")
        run.emit(ev.Settled(at=run.at, status="cancelled", error=error))
    elif state.problem is not None:
        run.emit(ev.Settled(at=run.at, status="failed", error=state.problem))
    elif state.expired:
        error = ev.Error("timeout", f"the run took longer than {format_duration(state.plan.definition.timeout or 0.0)}")
        run.emit(ev.Settled(at=run.at, status="failed", error=error))
