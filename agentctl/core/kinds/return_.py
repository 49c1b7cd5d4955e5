"""`return`: ends the run, a handler or an undo step well, with a value."""

from __future__ import annotations

from agentctl.core import events as ev
from agentctl.core.kinds.kind import Kind, fail_start, start_attempt
from agentctl.core.state import RunState, StepState
from agentctl.core.transition import Transition
from agentctl.model import Return


class ReturnKind(Kind):
    def begin(self, run: Transition, step: StepState) -> None:
        action = step.node.step.action
        assert isinstance(action, Return)
        value, error = run.evaluate(action.value, step, keeps_references=True)
        if error is not None:
            fail_start(run, step, error)
            return
        start_attempt(run, step, input={"value": value})

    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        step.answer = (step.input["value"], None)
        state.look_at(step)
