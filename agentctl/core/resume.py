"""What a resume would do, before it is done: which steps are dropped, kept, run; and whether an edited definition still fits."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

from agentctl import JSON
from agentctl.core.events import RunResumed
from agentctl.core.fold import apply
from agentctl.core.graph import Block, Node, Plan
from agentctl.core.lifecycle import WELL
from agentctl.core.reopen import is_kept
from agentctl.core.state import Frame, RunState, StepState


class Intent(msgspec.Struct, frozen=True):
    """What a resume would do with one step. `reason`: a few words for people."""

    path: str
    action: Literal["reuse", "rerun", "run", "conflict"]
    reason: str


class Conflict(msgspec.Struct, frozen=True):
    """A step that has finished is not the same in the edited definition. `line`: where it stands there; None: it is gone."""

    path: str
    reason: str
    line: int | None


def dependents(state: RunState, path: str) -> list[str]:
    """Return what `--from path` runs again: that step and all that needs it, also outside the lists that hold it.

    Raises KeyError when the run has no such step.
    """
    step = state.steps[path]
    found = [path]
    while True:
        frame = step.frame
        found += [frame.steps[i].path for i in frame.block.descendants(step.node.index)]
        if frame.owner is None:
            return found
        step = frame.owner


def intents(state: RunState, redo: list[str]) -> list[Intent]:
    """One row for each step of the run's own list and below, in order. Changes `state`: hand in a copy folded for this."""
    before = {path: "undone" if step.undone else step.status for path, step in state.steps.items()}
    if state.is_finished:
        apply(state, RunResumed(at=state.at, redo=redo))
    root = state.root
    block = state.plan.root
    if root is None:
        return [Intent(node.step.id, "run", "the run has not started") for node in block.nodes]
    return [_intent(step, before.get(step.path, "pending"), redo) for step in _walk(root)]


def _walk(frame: Frame) -> list[StepState]:
    found: list[StepState] = []
    for step in frame.steps:
        found.append(step)
        for body in step.bodies:
            found += _walk(body)
    return found


def _intent(step: StepState, before: str, redo: list[str]) -> Intent:
    if step.path in redo:
        named = "named by --from" if step.path == redo[0] else f"needs {redo[0]}"
        return Intent(step.path, "rerun" if before not in ("pending", "not_run") else "run", named)
    if before == "undone":
        return Intent(step.path, "rerun", before)
    if is_kept(step):
        return Intent(step.path, "reuse", before)
    if before in ("failed", "cancelled") and not step.bodies:
        return Intent(step.path, "rerun", before)
    if before == "unknown":
        return Intent(step.path, "rerun", "its outcome is in doubt: nothing executes before that is answered")
    if before in ("running", "waiting", "retrying") and not step.bodies:
        reasons = {"running": "was under way: executes again with the same key", "waiting": "continues to wait"}
        return Intent(step.path, "rerun", reasons.get(before, "its next attempt is due"))
    if before in WELL or step.bodies:
        return Intent(step.path, "run", "continues with what is unfinished in it")
    return Intent(step.path, "run", "has not run")


def conflicts(state: RunState, new: Plan, redo: Collection[str] = ()) -> list[Conflict]:
    """Return the finished steps that an edited definition has changed or lost; empty: `--latest` may continue with it.

    `redo`: paths of steps whose results are dropped; these may have changed.
    """
    if state.root is None:
        return []
    return _compare(state.root, new.root, redo)


def _compare(frame: Frame, block: Block, redo: Collection[str]) -> list[Conflict]:
    found: list[Conflict] = []
    for step in frame.steps:
        index = block.index.get(step.node.step.id)
        if step.status in ("pending", "not_run"):
            continue
        if index is None:
            if is_kept(step) or step.bodies:
                found.append(Conflict(step.path, "has finished and is gone from the file", None))
            continue
        node = block.nodes[index]
        if step.path in redo:
            continue
        if is_kept(step) and not any(path.startswith((f"{step.path}.", f"{step.path}[")) for path in redo):
            if _shape(step.node) != _shape(node):
                found.append(Conflict(step.path, "has finished and was changed", node.step.line))
        elif step.bodies:
            found += _compare_container(step, node, redo)
    return found


def _compare_container(step: StepState, node: Node, redo: Collection[str]) -> list[Conflict]:
    """Its inside is unfinished: what finished in there must be the same, and so must what it runs over."""
    if step.agent is not None and _shape(step.node) == _shape(node):
        return []
    if node.body is None or node.kind != step.node.kind or _header(node) != _header(step.node):
        return [Conflict(step.path, "has begun and was changed", node.step.line)]
    return [conflict for body in step.bodies for conflict in _compare(body, node.body, redo)]


def _header(node: Node) -> JSON:
    shape = msgspec.to_builtins(node.step.action)
    shape.pop("steps", None)
    return shape


def _shape(node: Node) -> JSON:
    """The step as data, without the lines at which it stands."""
    return _without_lines(msgspec.to_builtins(node.step))


def _without_lines(value: JSON) -> JSON:
    if isinstance(value, dict):
        is_step = "uses" in value and "id" in value
        return {key: _without_lines(item) for key, item in value.items() if not (is_step and key == "line")}
    if isinstance(value, list | tuple):
        return [_without_lines(item) for item in value]
    return value
