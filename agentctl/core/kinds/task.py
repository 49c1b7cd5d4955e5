"""`task`: a step that a driver performs, such as `shell` or `llm`."""

from __future__ import annotations

from agentctl import JSON, spec
from agentctl.core import budget, permissions, tool_calls, tool_walls
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.kinds.kind import Kind, fail_start, start_attempt
from agentctl.core.state import RunState, StepState
from agentctl.core.transition import Transition
from agentctl.expressions.values import extract_secrets
from agentctl.model import Task

MAX_EVENT_DEPTH = 32  # a loop that emits the event that starts it ends here


class TaskKind(Kind):
    is_leaf = True

    def begin(self, run: Transition, step: StepState) -> None:
        action = step.node.step.action
        assert isinstance(action, Task)
        names = tool_walls.computed(run.state, step)
        params, error = run.evaluate(action.params, step, names, keeps_references=spec.takes_references(action.uses))
        if error is not None:
            fail_start(run, step, error)
            return
        if step.uses == "emit" and run.state.event_depth >= MAX_EVENT_DEPTH:
            message = f"{MAX_EVENT_DEPTH} emitted events led to this run, one after the other: it may emit none"
            fail_start(run, step, ev.Error("event.too_deep", message, data={"depth": run.state.event_depth}))
            return
        secrets: list[JSON] = []
        if action.params.names_secrets:
            params, secrets = extract_secrets(params)
        refused = permissions.refusal(run.state, action.uses, params, secrets)
        if refused is not None:
            fail_start(run, step, refused)
            return
        hosts = permissions.allowed_hosts(run.state) if action.uses == "http" else []
        if hosts:
            params = {**params, "allowed_hosts": hosts}
        if _fits_budget(run, step, params):
            start_attempt(run, step, input=params, secrets=secrets)

    def begin_again(self, run: Transition, step: StepState) -> None:
        if _fits_budget(run, step, step.input):
            start_attempt(run, step)

    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        state.executing[step.path] = step
        if step.uses == "llm":
            state.reserved[step.path] = budget.estimate(step.input)

    def commands(self, state: RunState, step: StepState) -> list[cmd.Command]:
        definition = step.node.step
        key = tool_calls.key_of(state, step)
        return [
            cmd.Execute(
                step.path, step.attempt, definition.uses, step.input, step.secrets, definition.timeout, key, step.error
            )
        ]


def _fits_budget(run: Transition, step: StepState, params: JSON) -> bool:
    """Whether the run's budget has room for the attempt; if not, the attempt has failed."""
    refused = budget.refusal(run.state, step.path, params) if step.uses == "llm" else None
    if refused is not None:
        fail_start(run, step, refused)
    return refused is None
