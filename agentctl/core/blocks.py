"""Decisions on a list of steps: which of its steps start, and what follows when it is over."""

from __future__ import annotations

from agentctl import JSON
from agentctl.core import ending, steps
from agentctl.core import events as ev
from agentctl.core.kinds.registry import kind_of
from agentctl.core.state import Frame
from agentctl.core.transition import Transition
from agentctl.expressions.template import Template


def look_at_frame(run: Transition, frame: Frame) -> None:
    """Start what is ready in a list, and close it once all is done or what ran beside a failed step has ended."""
    if frame.closed:
        return
    if frame.is_halted():
        ending.look_at_halted(run, frame)
        return
    while frame.ready and frame.failure is None and not frame.is_halted():
        if (frame.limit is not None and len(frame.live) >= frame.limit) or run.holds_back(frame):
            return
        steps.start(run, frame.steps[frame.ready[0]])
    if run.state.frames.get(frame.key) is not frame:
        return  # a `return` among them closed it
    if frame.is_halted():
        ending.look_at_halted(run, frame)
    elif not frame.live and (frame.failure is not None or frame.left == 0):
        _close(run, frame)


def _close(run: Transition, frame: Frame) -> None:
    """All its steps have ended, or one failed and the others that ran have ended."""
    error, output = frame.failure, None
    if error is None:
        output, error = _output_of(run, frame)
    owner = frame.owner
    if frame.role == "main":
        ending.settle(run, error, output)
    elif owner is None or frame.role == "probe":  # an undo, a handler
        ending.end_block(run, frame, output, error)
    elif frame.role != "fallback":
        kind_of(owner).close(run, frame, output, error)
    elif error is not None:
        run.emit(ev.StepFailed(at=run.at, path=owner.path, error=error))
    else:
        run.emit(ev.StepSucceeded(at=run.at, path=owner.path, output=output, status="recovered"))


def _output_of(run: Transition, frame: Frame) -> tuple[JSON, ev.Error | None]:
    """By the `output` expression that goes with the list; without one, the output of its last step."""
    template: Template | None = None
    if frame.role == "main":
        template = run.state.plan.definition.output
    elif frame.owner is not None and frame.role not in ("fallback", "probe"):
        template = kind_of(frame.owner).output_of(frame.owner)
    if template is None:
        return frame.steps[-1].output if frame.steps else None, None
    return run.evaluate(template, frame, keeps_references=True)
