"""`foreach`: a list of steps for each item of a list, `max_parallel` at a time."""

from __future__ import annotations

from agentctl.core import events as ev
from agentctl.core.frames import round_key
from agentctl.core.kinds.kind import Kind, end_attempt, fail_start, start_attempt, type_name
from agentctl.core.reopen import open_items
from agentctl.core.state import Frame, RunState, StepState
from agentctl.core.transition import Transition
from agentctl.expressions.template import Template
from agentctl.model import Foreach


class ForeachKind(Kind):
    def begin(self, run: Transition, step: StepState) -> None:
        action = step.node.step.action
        assert isinstance(action, Foreach)
        items, error = run.evaluate(action.items, step)
        if error is None and not isinstance(items, list):
            error = ev.Error("expression", f"`foreach` needs a list, got {type_name(items)}")
        if error is not None:
            fail_start(run, step, error)
            return
        start_attempt(run, step, input={"items": items})

    def look(self, run: Transition, step: StepState) -> None:
        if step.frames or (step.failure is None and (step.waiting_items or step.iteration < len(step.outputs))):
            return
        end_attempt(run, step, step.outputs, step.failure)

    def output_of(self, step: StepState) -> Template | None:
        action = step.node.step.action
        assert isinstance(action, Foreach)
        return action.output

    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        step.input = {"items": step.input["items"], "key": round_key(state, step.path)}  # `key`: of this round's items
        state.rounds[step.path] = state.rounds.get(step.path, 0) + 1
        step.outputs = [None] * len(step.input["items"])
        step.iteration, step.failure = 0, None
        open_items(state, step, event.at)
        state.look_at(step)

    def block_finished(self, state: RunState, step: StepState, frame: Frame, event: ev.BlockFinished) -> None:
        step.outputs[frame.index] = event.output
        if event.error is not None:
            step.failure = step.failure or event.error
        if not frame.is_halted():
            open_items(state, step, event.at)
