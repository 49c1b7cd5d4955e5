"""Fold a journal into the state that people see, one view per step.

This projection is for display only. `core.interpreter` alone decides what a run does next.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from agentctl.core.events import (
    AnyEvent,
    AttemptFailed,
    AttemptWithdrawn,
    BlockFinished,
    BlockStarted,
    ChildFinished,
    Error,
    OutcomeUnknown,
    ResultMissing,
    RetryScheduled,
    RunCreated,
    RunFinished,
    RunResumed,
    RunStarted,
    SignatureAsked,
    StepCancelled,
    StepFailed,
    StepKeyed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    Usage,
    add_usage,
)
from agentctl.core.graph import action_names
from agentctl.core.lifecycle import ENDED
from agentctl.core.tool_calls import key_of
from agentctl.model import Definition
from agentctl.views.steps import JournalView, StepView

if TYPE_CHECKING:
    from agentctl.core.state import RunState


def apply(view: JournalView, events: Iterable[AnyEvent]) -> None:
    """Update the view with new events."""
    for event in events:
        update = _UPDATES.get(type(event))
        if update is not None:
            update(view, event)


def view(run_id: str, definition: Definition | None, events: Iterable[AnyEvent]) -> JournalView:
    """Fold a whole journal. With `definition`, actions are known and the top-level steps are present from the start."""
    found = JournalView(run_id, {} if definition is None else action_names(definition))
    for step in () if definition is None else definition.steps:
        found.step(step.id)
    apply(found, events)
    return found


def complete(seen: JournalView, state: RunState) -> list[StepView]:
    """Return every step, completed with what only the interpreter knows: steps not reached yet, and steps that never will be."""
    for path, step in state.steps.items():
        if step.frame.role == "tools":  # what an agent looks up before its first turn is no step to people
            seen.steps.pop(path, None)
            continue
        shown = seen.step(path)
        shown.block = False
        shown.action, shown.status, shown.attempts = step.uses, _SHOWN.get(step.status, step.status), step.attempts
        shown.output, shown.usage = step.output, step.usage
        if step.error is not None or step.status != "recovered":  # of a recovered step, the journal has what it recovered from
            shown.error = step.error
        shown.started_at, shown.finished_at = step.started_at, step.finished_at
        if step.call is not None:
            shown.tool, shown.key, shown.input = step.call.name, key_of(state, step), step.call.arguments
    agents = tuple(f"{step.path}." for step in state.steps.values() if step.agent is not None)
    return [step for step in seen.steps.values() if step.path in state.steps or not step.path.startswith(agents)]


def items_not_run(state: RunState) -> list[StepView]:
    """Return the steps of the foreach items that never started, because the foreach failed or was stopped first."""
    found: list[StepView] = []
    for step in state.steps.values():
        begun = isinstance(step.input, dict) and "items" in step.input
        if step.node.kind == "foreach" and step.node.body is not None and begun and step.status in ENDED:
            for i in range(step.iteration, len(step.input["items"])):
                item = f"{step.input['key']}[{i}]"
                found += [StepView(f"{item}.{node.step.id}", node.step.uses, "not_run") for node in step.node.body.nodes]
    return found


_SHOWN = {"failing": "running"}  # within one decision of the interpreter


# --- what each event changes ---------------------------------------------------------------------------------------


def _created(view: JournalView, event: RunCreated) -> None:
    view.name = event.name


def _started(view: JournalView, event: RunStarted) -> None:
    view.status, view.started_at = "running", event.at


def _resumed(view: JournalView, event: RunResumed) -> None:
    view.status, view.finished_at = "running", None
    dropped = set(event.redo)
    for path, step in view.steps.items():
        if step.status in ("failed", "cancelled", "not_run") or path in dropped:
            view.steps[path] = StepView(path, step.action, attempts=step.attempts)


def _finished(view: JournalView, event: RunFinished) -> None:
    view.status, view.finished_at = event.status, event.at
    for step in view.steps.values():
        if step.block and step.status == "running":  # a later round of a group, which ends with the group
            _end(step, "succeeded" if event.status == "succeeded" else "cancelled", event.at)


def _block_started(view: JournalView, event: BlockStarted) -> None:
    if event.role not in ("tools", "turn", "calls", "compact"):  # the steps of these lists stand below the agent and its turn
        view.block(event.path, event.at)


def _block_finished(view: JournalView, event: BlockFinished) -> None:
    if not event.path:  # the run's own list
        return
    step = view.block(event.path, event.at)
    step.output = event.output
    _end(step, "succeeded" if event.error is None else "failed", event.at)


def _end(step: StepView, status: str, at: float) -> None:
    step.status, step.finished_at, step.due, step.waits_for = status, at, None, None


def _end_fallback(view: JournalView, path: str, status: str, at: float) -> None:
    """A fallback ends with its step, without an event of its own."""
    block = view.steps.get(f"{path}.fallback")
    if block is not None and block.status == "running":
        _end(block, status, at)


def _step_started(view: JournalView, event: StepStarted) -> None:
    step = view.step(event.path, event.at)
    step.status, step.attempts, step.finished_at, step.due = "running", event.attempt, None, None
    step.child = event.child or step.child
    if event.input is not None:  # later attempts use the same, and do not repeat it
        step.input = event.input
    if step.started_at is None:
        step.started_at = event.at
    if step.action in ("wait", "approve"):
        step.status = "waiting"


def _step_succeeded(view: JournalView, event: StepSucceeded) -> None:
    step = view.step(event.path, event.at)
    step.output, step.source = event.output, event.source
    _end(step, event.status, event.at)
    _end_fallback(view, event.path, "succeeded", event.at)
    if event.status != "recovered":
        step.error = None
    step.usage = _sum(step.usage, event.usage)


def _attempt_failed(view: JournalView, event: AttemptFailed) -> None:
    step = view.step(event.path)
    step.error, step.usage = _located(event.error, event.path, event.attempt), _sum(step.usage, event.usage)


def _withdrawn(view: JournalView, event: AttemptWithdrawn) -> None:
    step = view.step(event.path)
    step.status, step.due = "retrying", None


def _retry(view: JournalView, event: RetryScheduled) -> None:
    step = view.step(event.path)
    step.status, step.due, step.error = "retrying", event.due, _located(event.error, event.path, event.attempt - 1)


def _failed(view: JournalView, event: StepFailed) -> None:
    step = view.step(event.path, event.at)
    step.error = event.error
    _end(step, "failed", event.at)
    _end_fallback(view, event.path, "failed", event.at)


def _skipped(view: JournalView, event: StepSkipped) -> None:
    view.step(event.path, event.at).status = "skipped"


def _cancelled(view: JournalView, event: StepCancelled) -> None:
    step = view.step(event.path, event.at)
    _end(step, "unknown" if step.status == "unknown" else "cancelled", event.at)  # a doubt outlives its run
    _end_fallback(view, event.path, "cancelled", event.at)


def _unknown(view: JournalView, event: OutcomeUnknown) -> None:
    step = view.step(event.path)
    step.status, step.error = "unknown", event.error


def _keyed(view: JournalView, event: StepKeyed) -> None:
    step = view.step(event.path, event.at)
    step.status = "waiting"
    if step.started_at is None:
        step.started_at = event.at


def _signature_asked(view: JournalView, event: SignatureAsked) -> None:
    step = view.step(event.path, event.at)
    step.status, step.started_at = "waiting", event.at


def _missing(view: JournalView, event: ResultMissing) -> None:
    step = view.step(event.path)
    step.status, step.waits_for = "pending", None


def _child(view: JournalView, event: ChildFinished) -> None:
    view.step(event.path).child = event.run_id


def _located(error: Error, path: str, attempts: int) -> Error:
    """Return the error of an attempt with its step and number, as the error of a failed step has them."""
    return error if error.step is not None else msgspec.structs.replace(error, step=path, attempts=attempts)


def _sum(total: Usage | None, more: Usage | None) -> Usage | None:
    return total if more is None else add_usage(total, more)


_UPDATES: dict[type, Any] = {
    RunCreated: _created,
    RunStarted: _started,
    RunResumed: _resumed,
    RunFinished: _finished,
    BlockStarted: _block_started,
    BlockFinished: _block_finished,
    StepStarted: _step_started,
    StepSucceeded: _step_succeeded,
    AttemptFailed: _attempt_failed,
    AttemptWithdrawn: _withdrawn,
    RetryScheduled: _retry,
    StepFailed: _failed,
    StepSkipped: _skipped,
    StepCancelled: _cancelled,
    ChildFinished: _child,
    OutcomeUnknown: _unknown,
    StepKeyed: _keyed,
    SignatureAsked: _signature_asked,
    ResultMissing: _missing,
}
