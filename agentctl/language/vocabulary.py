"""The words of the language that more than one file here needs: actions of a step, names in expressions, ids of steps."""

from __future__ import annotations

from typing import Any

from agentctl.spec import actions
from agentctl.spec.catalog import BUILT_IN

FLOW = ("concurrency", "throttle", "rate_limit", "debounce", "batch", "priority", "dedupe")

# The names an expression can use, and the fields of those whose fields are fixed (docs/language.md, Expressions).
ALWAYS = frozenset({"input", "steps", "event", "run", "state", "vars", "secrets", "now"})
ELSEWHERE = {
    "item": "inside a foreach",
    "index": "inside a foreach or a repeat",
    "last": "inside a repeat, or a foreach that takes one item at a time",
    "error": "in a fallback or a handler",
}
# What `as` cannot call an item: expressions have these words for something else.
TAKEN = ALWAYS | (ELSEWHERE.keys() - {"item"}) | frozenset(
    {"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "range"}
)
STEP_FIELDS = ("output", "status", "error", "attempts", "started_at", "finished_at", "usage")
RUN_FIELDS = ("id", "loop", "version", "attempt", "started_at", "scheduled_at", "trigger")
EVENT_FIELDS = ("name", "data", "id", "received_at", "headers")
ERROR_FIELDS = ("type", "message", "step", "attempts", "data")


def actions_of(step: dict[str, Any]) -> list[str]:
    """The actions a step has, in the order of the specs; `steps` is one only without foreach and repeat."""
    found = [name for name in BUILT_IN if name in step] or [name for name in actions() if name in step]
    if "steps" in found and ("foreach" in found or "repeat" in found):
        found.remove("steps")
    return found


def step_ids(steps: list[Any]) -> list[str]:
    """The id of each step of a list: as written, else `<action>_<n>` with n its place in the list from 1."""
    written = {step["id"] for step in steps if isinstance(step, dict) and isinstance(step.get("id"), str)}
    ids = []
    for number, step in enumerate(steps, 1):
        name = step.get("id") if isinstance(step, dict) else None
        if not isinstance(name, str):
            actions = actions_of(step) if isinstance(step, dict) else []
            name = f"{actions[0] if actions else 'step'}_{number}"
            while name in written:
                name += "_"
        ids.append(name)
    return ids
