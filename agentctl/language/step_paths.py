"""Paths of steps as tests write them: do they fit a path of a run, and which step of a definition do they mean?

`triage/look` is step `look` of the run that step `triage` starts. `*` stands for one id or one number; without `@n` a path
means every round of a retried list.
"""

from __future__ import annotations

from collections.abc import Callable

from agentctl import model
from agentctl.expressions.suggestions import did_you_mean
from agentctl.paths import Part, format_path, parse_path

_LISTS = ("fallback", "probe")


class NoSuchStep(Exception):
    """`str(error)`: why the path means no step, as a sentence."""


def closeness(pattern: str) -> tuple[int, int]:
    """Sorts patterns that fit one path: the more exact one is greater."""
    return "@" in pattern, -pattern.count("*")


def step_at(definition: model.Definition, path: str, load: Callable[[str], model.Definition]) -> model.Step:
    """The step that a path means; where `*` stands for an id, the first one that fits. `load`: a skill by name.

    Raises NoSuchStep, and what `load` raises.
    """
    here, _, below = _without_tool(path).partition("/")
    step = _in_definition(definition, here)
    if not below:
        return step
    if not isinstance(step.action, model.Skill):
        raise NoSuchStep(f"'{here}' is no skill step, so nothing runs below it after '/'")
    return step_at(load(step.action.name), below, load)


def _without_tool(path: str) -> str:
    """`find.tool.look-up` means the calls of a tool of the agent `find`; the name of a tool is no part of a path."""
    here, slash, below = path.partition("/")
    agent, mark, _ = here.partition(".tool.")
    return f"{agent}.turn[*].call[*]{slash}{below}" if mark else path


def _in_definition(definition: model.Definition, path: str) -> model.Step:
    try:
        parts = parse_path(path)
    except ValueError:
        raise NoSuchStep(f"'{path}' is no path of a step; expected one such as fetch, each[*].send or triage/look") from None
    steps = definition.steps
    first = parts[0].id
    if first in model.HANDLERS and len(parts) > 1:
        steps = definition.handler(first)
        parts = parts[1:]
    return _in_list(steps, parts, path)


def _in_list(steps: tuple[model.Step, ...], parts: tuple[Part, ...], path: str) -> model.Step:
    id, has_number, rest = parts[0].id, parts[0].number is not None, parts[1:]
    if id == "*":
        return _through_any(steps, rest, path, has_number=has_number)
    for step in steps:
        if step.id == id:
            return _below(step, rest, path, has_number=has_number)
    hint = did_you_mean(id, [step.id for step in steps]) or f"; there are {', '.join(step.id for step in steps) or 'no steps'}"
    raise NoSuchStep(f"there is no step '{id}' in '{path}'{hint}")


def _through_any(steps: tuple[model.Step, ...], rest: tuple[Part, ...], path: str, *, has_number: bool) -> model.Step:
    for step in steps:
        try:
            return _below(step, rest, path, has_number=has_number)
        except NoSuchStep:
            continue
    raise NoSuchStep(f"no step fits '{path}'")


def _below(step: model.Step, rest: tuple[Part, ...], path: str, *, has_number: bool) -> model.Step:
    """`rest` of the path, from a step on."""
    action = step.action
    if isinstance(action, model.Agent):
        return step  # its turns and calls are made while it runs
    if not rest:
        if has_number:
            raise NoSuchStep(f"'{path}' ends in a number: name a step of that item or iteration, as in {path}.ID")
        return step
    word = rest[0].id
    if word in _LISTS and not has_number and (inner := getattr(step, word)):
        if len(rest) == 1:
            raise NoSuchStep(f"'{path}' is a list of steps: name one of them, as in {path}.{inner[0].id}")
        return _in_list(inner, rest[1:], path)
    if word == "undo" and not has_number and step.undo is not None:
        return _below(step.undo, rest[1:], path, has_number=False)
    if not isinstance(action, model.Group | model.Foreach | model.Repeat):
        raise NoSuchStep(f"step '{step.id}' in '{path}' holds no steps")
    if isinstance(action, model.Group) == has_number:
        wanted = f"{step.id}[*]" if not has_number else step.id
        raise NoSuchStep(f"'{step.id}' in '{path}' is a {step.uses} step: write {wanted}.{format_path(rest)}")
    return _in_list(action.steps, rest, path)
