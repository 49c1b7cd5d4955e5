"""`fail`: a step that fails with an error of the definition's own."""

from __future__ import annotations

import json

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core.kinds.kind import Kind, fail_start
from agentctl.core.state import StepState
from agentctl.core.transition import Transition
from agentctl.model import Fail


class FailKind(Kind):
    def begin(self, run: Transition, step: StepState) -> None:
        action = step.node.step.action
        assert isinstance(action, Fail)
        params, error = run.evaluate(action.params, step)
        if error is None:
            type, message = (_text(params.get(key)) or "failed" for key in ("type", "message"))
            error = ev.Error(type, message, data=params.get("data"))
        fail_start(run, step, error)


def _text(value: JSON) -> str:
    """As a value reads inside longer text; null is the empty text."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
