"""What people see of a journal: one view per step, folded from the events as they come.

This is a projection for the eye. What a run may do next is decided by `core.interpreter` alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from agentctl import JSON
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
    StepCancelled,
    StepFailed,
    StepKeyed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    Usage,
)
from agentctl.core.lifecycle import ENDED
from agentctl.core.paths import actions, parent, pattern
from agentctl.model import Definition

if TYPE_CHECKING:
    from agentctl.core.state import RunState


class StepView(msgspec.Struct):
    """One step as it stands. Times are epoch seconds; `due` is when the next attempt begins."""

    path: str
    action: str = ""
    status: str = "pending"
    attempts: int = 0
    output: JSON = None
    error: Error | None = None
    started_at: float | None = None
    finished_at: float | None = None
    due: float | None = None
    usage: Usage | None = None
    child: str | None = None  # the run that this step started
    source: str | None = None  # reused: RUN/path of the step whose result it is
    waits_for: str | None = None  # RUN/path of the step that holds the key it stands in line for
    block: bool = False  # no step but a list of steps: `each[2]`, `assess.fallback`
    input: JSON = None  # as evaluated for the first attempt; secrets by name


class JournalView(msgspec.Struct):
    """All of one run. `steps` is in the order in which the steps were first heard of."""

    run_id: str
    actions: dict[str, str]
    name: str = ""
    status: str = "queued"
    started_at: float | None = None
    finished_at: float | None = None
    steps: dict[str, StepView] = {}  # msgspec copies an empty default

    def apply(self, events: Iterable[AnyEvent]) -> None:
        for event in events:
            update = _UPDATES.get(type(event))
            if update is not None:
                update(self, event)

    def step(self, path: str, at: float | None = None) -> StepView:
        """The view of a path, made when it is first heard of. `at`: then the lists that hold it began, too."""
        found = self.steps.get(path)
        if found is None:
            holder = parent(path)
            if holder and at is not None and holder not in self.steps:
                self.block(holder, at)
            found = self.steps[path] = StepView(path, self.actions.get(pattern(path), ""))
        return found

    def block(self, path: str, at: float) -> StepView:
        """The view of a list of steps; most begin without an event of their own, with the first step in them."""
        found = self.step(path, at)
        if found.status == "pending":
            found.block, found.action, found.status, found.started_at = True, "", "running", at
        return found


def view(run_id: str, definition: Definition | None, events: Iterable[AnyEvent]) -> JournalView:
    """A whole journal, folded for the eye. With the definition the actions are known, and the run's own steps from the start."""
    found = JournalView(run_id, {} if definition is None else actions(definition))
    for step in () if definition is None else definition.steps:
        found.step(step.id)
    found.apply(events)
    return found


def complete(seen: JournalView, state: RunState) -> list[StepView]:
    """Every step with what the interpreter knows and no event says: those not reached, and those that never will be."""
    for path, step in state.steps.items():
        shown = seen.step(path)
        shown.block = False
        shown.action, shown.status, shown.attempts = step.uses, _SHOWN.get(step.status, step.status), step.attempts
        shown.output, shown.error, shown.usage = step.output, step.error, step.usage
        shown.started_at, shown.finished_at = step.started_at, step.finished_at
    return list(seen.steps.values())


def items_not_run(state: RunState) -> list[StepView]:
    """The steps of the items that a foreach never came to, because it had failed or was stopped before."""
    found: list[StepView] = []
    for step in state.steps.values():
        begun = isinstance(step.input, dict) and "items" in step.input
        if step.node.kind == "foreach" and step.node.body is not None and begun and step.status in ENDED:
            for i in range(step.iteration, len(step.input["items"])):
                item = f"{step.input['key']}[{i}]"
                found += [StepView(f"{item}.{node.step.id}", node.step.uses, "not_run") for node in step.node.body.nodes]
    return found


_SHOWN = {"failing": "running"}  # within one decision of the interpreter


# --- paths ---------------------------------------------------------------------------------------------------------


def is_undo(path: str) -> bool:
    """True for the list of an undo step: `charge.undo`, `charge.undo@2`."""
    return pattern(path).endswith(".undo")


def tree_order(paths: Iterable[str]) -> list[tuple[int, str, str]]:
    """`(depth, path, label)`: every path right under the nearest listed one that holds it, siblings in the order given.

    `label` is what the lines above do not show yet: `probe` for `each[2].probe` under `each[2]`.
    """
    listed = list(paths)
    known = set(listed)
    below: dict[str, list[str]] = {}
    for path in listed:
        holder = parent(path)
        while holder and holder not in known:
            holder = parent(holder)
        below.setdefault(holder, []).append(path)
    ordered: list[tuple[int, str, str]] = []
    stack = [(0, path, path) for path in reversed(below.get("", []))]
    while stack:
        depth, path, label = stack.pop()
        ordered.append((depth, path, label))
        stack.extend((depth + 1, child, child[len(path) :].lstrip(".")) for child in reversed(below.get(path, [])))
    return ordered


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
    step.usage = _add(step.usage, event.usage)


def _attempt_failed(view: JournalView, event: AttemptFailed) -> None:
    step = view.step(event.path)
    step.error, step.usage = event.error, _add(step.usage, event.usage)


def _withdrawn(view: JournalView, event: AttemptWithdrawn) -> None:
    step = view.step(event.path)
    step.status, step.due = "retrying", None


def _retry(view: JournalView, event: RetryScheduled) -> None:
    step = view.step(event.path)
    step.status, step.due, step.error = "retrying", event.due, event.error


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


def _missing(view: JournalView, event: ResultMissing) -> None:
    step = view.step(event.path)
    step.status, step.waits_for = "pending", None


def _child(view: JournalView, event: ChildFinished) -> None:
    view.step(event.path).child = event.run_id


def _add(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    usd = None if one.usd is None and other.usd is None else (one.usd or 0.0) + (other.usd or 0.0)
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        usd=usd,
        model=other.model or one.model,
    )


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
    ResultMissing: _missing,
}
