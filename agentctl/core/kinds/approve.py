"""`approve`: a person signs what the step shows, or rejects it."""

from __future__ import annotations

import json
from hashlib import sha256

from agentctl import JSON
from agentctl.core import commands as cmd
from agentctl.core import events as ev
from agentctl.core.kinds.kind import Kind, fail_start, start_attempt
from agentctl.core.state import RunState, StepState
from agentctl.core.timestamps import rfc3339
from agentctl.core.transition import Transition
from agentctl.expressions.duration import format_duration
from agentctl.model import Approve


class ApproveKind(Kind):
    def begin(self, run: Transition, step: StepState) -> None:
        action = _approve(step)
        message, error = run.evaluate(action.message, step)
        show: JSON = None
        if error is None and action.show is not None:
            show, error = run.evaluate(action.show, step)
        form: JSON = None
        if error is None:
            form, error = _form(run, step)
        if error is not None:
            fail_start(run, step, error)
            return
        shown = {"message": message, "show": show, "form": form}
        if step.call is not None:  # a question of an agent
            shown["ask"] = True
        digest = sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()
        start_attempt(run, step, input={**shown, "digest": digest})

    def out_of_time(self, step: StepState, at: float) -> tuple[JSON, ev.Error | None]:
        action = _approve(step)
        if action.on_timeout == "reject":
            return None, ev.Error("approval.rejected", "nobody answered in time, which counts as a rejection")
        if action.on_timeout == "fail":
            return None, ev.Error("approval.timeout", f"nobody answered within {format_duration(action.timeout or 0.0)}")
        fields = step.input["form"].items()
        data = {name: field["default"] for name, field in fields if isinstance(field, dict) and "default" in field}
        return {"approved": True, "by": None, "comment": "nobody answered in time", "data": data, "at": rfc3339(at)}, None

    def started(self, state: RunState, step: StepState, event: ev.StepStarted) -> None:
        state.approvals[step.path] = step.input["digest"]
        timeout = _approve(step).timeout
        if timeout is not None:
            state.set_timer(step.path, "wait", event.at + timeout)

    def commands(self, state: RunState, step: StepState) -> list[cmd.Command]:
        digest = state.approvals.get(step.path)
        return [] if digest is None else [cmd.AwaitPerson(step.path, "approval", digest, step.input)]


def _form(run: Transition, step: StepState) -> tuple[JSON, ev.Error | None]:
    """Evaluate the defaults of the form's fields; those that are constants were checked when the file was loaded."""
    template = _approve(step).form
    form, error = run.evaluate(template, step)
    if error is not None or template.is_literal:
        return form, error
    from agentctl.spec.schemas import first_error

    for name, field in form.items():
        if isinstance(field, dict) and "default" in field and (problem := first_error(field["default"], field)):
            return None, ev.Error("input.invalid", f"the default of the form's field '{name}' {problem}")
    return form, None


def _approve(step: StepState) -> Approve:
    action = step.node.step.action
    assert isinstance(action, Approve)
    return action
