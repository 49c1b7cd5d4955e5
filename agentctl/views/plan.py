"""What a resume would do with each step: the document of `resume --plan`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentctl import JSON
from agentctl.core.graph import Plan
from agentctl.core.resume import Intent, conflicts, intents
from agentctl.ports import StoredDefinition

if TYPE_CHECKING:
    from agentctl.core.state import RunState


def edit_conflicts(state: RunState, stored: StoredDefinition, redo: Sequence[str]) -> list[Intent]:
    """Return the finished steps that differ in an edited definition, each with its file and line."""
    return [
        Intent(
            found.path,
            "conflict",
            f"step {found.path} {found.reason} ({stored.file}{'' if found.line is None else f':{found.line}'})",
        )
        for found in conflicts(state, Plan(stored.definition), redo)
    ]


def resume_plan(state: RunState, redo: list[str], contested: Sequence[Intent] = ()) -> list[Intent]:
    """Return what a resume would do, step by step. Changes `state`: pass a copy folded for this.

    `contested`: the conflicts with an edited definition; they replace the plan of their steps.
    """
    conflicting = {conflict.path: conflict for conflict in contested}
    rows = [conflicting.pop(intent.path, intent) for intent in intents(state, redo)]
    return [*rows, *conflicting.values()]


def plan_document(plan: Sequence[Intent]) -> list[JSON]:
    """`[{path, action, reason}]`; action: reuse, rerun, run, conflict."""
    return [{"path": intent.path, "action": intent.action, "reason": intent.reason} for intent in plan]
