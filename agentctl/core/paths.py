"""The paths of steps, as text: where a step stands in the definition, and in which other one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agentctl.model import HANDLERS, Definition, Foreach, Group, Repeat, Step

_NUMBERS = re.compile(r"\[\d+\]|@\d+")
_LAST_PART = re.compile(r"(\.[^.\[@]+|\[\d+\]|@\d+)$")


def pattern(path: str) -> str:
    """The path as it stands in the definition: without the numbers of items and rounds."""
    return _NUMBERS.sub("", path) if "[" in path or "@" in path else path


def parent(path: str) -> str:
    """`each[2].probe` -> `each[2]` -> `each` -> ``."""
    match = _LAST_PART.search(path)
    return path[: match.start()] if match else ""


def actions(definition: Definition) -> dict[str, str]:
    """path pattern -> the action's word, for every step anywhere in the definition."""
    found: dict[str, str] = {}
    _collect(found, "", definition.steps)
    for name in HANDLERS:
        _collect(found, f"{name}.", definition.handler(name))
    return found


def _collect(found: dict[str, str], prefix: str, steps: Iterable[Step]) -> None:
    for step in steps:
        path = prefix + step.id
        found[path] = step.uses
        if isinstance(step.action, Group | Foreach | Repeat):
            _collect(found, f"{path}.", step.action.steps)
        _collect(found, f"{path}.fallback.", step.fallback)
        _collect(found, f"{path}.probe.", step.probe)
        if step.undo is not None:
            found[f"{path}.undo"] = step.undo.uses
            _collect_within(found, f"{path}.undo", step.undo)


def _collect_within(found: dict[str, str], path: str, step: Step) -> None:
    if isinstance(step.action, Group | Foreach | Repeat):
        _collect(found, f"{path}.", step.action.steps)
