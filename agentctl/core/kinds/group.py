"""`steps`: a list of steps that is one unit for `if`, `retry`, `fallback` and `timeout`."""

from __future__ import annotations

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core.frames import open_frame, round_key
from agentctl.core.kinds.kind import Kind, end_attempt
from agentctl.core.state import Frame, RunState, StepState
from agentctl.core.transition import Transition
from agentctl.expressions.template import Template
from agentctl.model import Group


class GroupKind(Kind):
    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        assert step.node.body is not None
        key = round_key(state, step.path)
        # The list of an undo step has that step's path for its key: a group's own list needs another.
        frame = Frame(f"{key}()", step.node.body, "group", owner=step, outer=step.frame, prefix=f"{key}.")
        open_frame(state, frame, step.path)

    def close(self, run: Transition, frame: Frame, output: JSON, error: ev.Error | None) -> None:
        assert frame.owner is not None
        end_attempt(run, frame.owner, output, error)

    def output_of(self, step: StepState) -> Template | None:
        action = step.node.step.action
        assert isinstance(action, Group)
        return action.output
