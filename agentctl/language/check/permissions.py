"""What a definition does against what its `permissions` allow, as far as that is known before its expressions are evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from agentctl.expressions.references import references, templates_in
from agentctl.language.problems import Problem
from agentctl.language.yaml.reader import Source
from agentctl.model import HANDLERS, Agent, Definition, Foreach, Group, Repeat, Skill, Step, Task
from agentctl.spec.permissions import models_problem, secrets_problem, skill_problem, task_problem

_NAMES_HOST = re.compile(r"https?://[^/?#]+[/?#]", re.IGNORECASE)


def permission_problems(source: Source, definition: Definition) -> list[Problem]:
    """An error for each step that does what it may not."""
    permissions = definition.permissions
    if permissions is None:
        return []
    found = [
        Problem(source.file, step.line, 1, "error", "permission.denied", f"{why}: `permissions` does not allow it")
        for step in _all_steps(definition)
        if (why := _step_problem(permissions, step)) is not None
    ]
    why = _budget_problem(permissions.get("budget"), source.data.get("budget"))
    if why is not None:
        line, column = source.at(("budget",) if "budget" in source.data else ("permissions", "budget"))
        found.append(Problem(source.file, line, column, "error", "permission.denied", why))
    return found


def _all_steps(definition: Definition) -> Iterator[Step]:
    for steps in (definition.steps, *(definition.handler(name) for name in HANDLERS)):
        yield from _below(steps)


def _below(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step.action, Group | Foreach | Repeat):
            yield from _below(step.action.steps)
        elif isinstance(step.action, Agent):
            yield from _below(tool.step for tool in step.action.tools)
        yield from _below((*step.fallback, *step.probe, *([step.undo] if step.undo is not None else [])))


def _step_problem(permissions: dict[str, Any], step: Step) -> str | None:
    action = step.action
    if isinstance(action, Skill):
        return skill_problem(permissions, action.name) if action.name else None
    if isinstance(action, Agent):
        known = _literals(action.params.tree)
        library = next((tool.library for tool in action.tools if tool.library is not None), None)
        why = skill_problem(permissions, library) if library is not None else None
        why = why or models_problem(permissions, known if isinstance(known, dict) else {})
        return why or secrets_problem(permissions, _secrets_in(action.params))
    if isinstance(action, Task):
        why = task_problem(permissions, action.uses, _literals(action.params.tree))
        return why or secrets_problem(permissions, _secrets_in(action.params))
    return None


def _secrets_in(value: Any) -> set[str]:
    return {
        str(reference.path[1])
        for template in templates_in(value)
        for reference in references(template)
        if reference.path[0] == "secrets" and len(reference.path) > 1
    }


def _literals(tree: Any) -> Any:
    """The value of a template as far as it is known: `None` stands for what an expression computes."""
    if tree[0] == "lit":
        return tree[1]
    if tree[0] == "text":  # of a URL, the part that names the host may be known
        return tree[1] if isinstance(tree[1], str) and _NAMES_HOST.match(tree[1]) else None
    if tree[0] == "map":
        return {key: _literals(item) for key, item in tree[1].items()}
    return [_literals(item) for item in tree[1:]] if tree[0] == "seq" else None


def _budget_problem(most: dict[str, Any] | None, asked: dict[str, Any] | None) -> str | None:
    for key in ("tokens", "usd"):
        limit = (most or {}).get(key)
        wanted = (asked or {}).get(key)
        if limit is not None and (wanted is None or wanted > limit):
            said = f"asks for {wanted:g}" if wanted is not None else "sets no limit"
            return f"the budget {said} {key}: `permissions` allows {limit:g}"
    return None
