"""Opening and closing lists of steps."""

from __future__ import annotations

from agentctl.core import lifecycle
from agentctl.core.state import Frame, RunState


def round_key(state: RunState, base: str, counter: str | None = None) -> str:
    """The path of the next list opened at `base`: `base` itself, then `base@2`, `base@3` ... `counter`: see `undo_counter`."""
    opened = state.rounds.get(counter or base, 0)
    return base if opened == 0 else f"{base}@{opened + 1}"


def undo_counter(state: RunState, path: str) -> str:
    """The name under which the rounds of the list that undoes the step at `path` are counted.

    The path of that list, `charge.undo`, is also that of the undo step in it, whose own lists have rounds of their own.
    """
    return f"undo of {path}" if state.replay_version > 1 else f"{path}.undo"


def open_frame(state: RunState, frame: Frame, base: str | None = None) -> None:
    """Let the steps of `frame` start. `base`: count a round of it, for the next one's path."""
    if base is not None:
        state.rounds[base] = state.rounds.get(base, 0) + 1
    state.frames[frame.key] = frame
    if frame.owner is not None:
        frame.owner.frames[frame.key] = frame
        frame.owner.frame.below[frame.key] = frame
        if frame.role not in ("fallback", "probe"):
            frame.owner.bodies.append(frame)
    for step in frame.steps:
        state.steps[step.path] = step
    state.steps_total += len(frame.steps)
    state.look_at(frame)


def close_frame(state: RunState, frame: Frame) -> None:
    """End a list: what has not started in it never will."""
    frame.closed = True
    for step in frame.steps:
        if step.status == "pending":
            lifecycle.move(step, "NotRun")
    frame.ready.clear()
    state.frames.pop(frame.key, None)
    if frame.owner is not None:
        frame.owner.frames.pop(frame.key, None)
