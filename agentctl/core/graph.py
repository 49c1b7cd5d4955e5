"""A definition indexed for the interpreter: who waits for whom in every list of steps. Immutable, shared by all its runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from agentctl import model
from agentctl.model import HANDLERS, Definition, Step

KindName = Literal["task", "group", "foreach", "repeat", "skill", "wait", "approve", "agent", "turn", "fail", "return"]

_KINDS: dict[type, KindName] = {
    model.Task: "task",
    model.Group: "group",
    model.Foreach: "foreach",
    model.Repeat: "repeat",
    model.Skill: "skill",
    model.Wait: "wait",
    model.Approve: "approve",
    model.Agent: "agent",
    model.Turn: "turn",
    model.Fail: "fail",
    model.Return: "return",
}

_CONTAINERS = model.Group | model.Foreach | model.Repeat


class Node:
    """One step of a list, with the lists that hang below it."""

    __slots__ = ("body", "fallback", "index", "is_once", "kind", "probe", "step", "undo")

    def __init__(self, step: Step, index: int) -> None:
        action = step.action
        self.step = step
        self.index = index
        self.kind: KindName = _KINDS[type(action)]
        self.body = Block(action.steps) if isinstance(action, _CONTAINERS) else None
        self.is_once = step.effect == "once"
        self.probe = Block(step.probe) if step.probe else None
        self.fallback = Block(step.fallback) if step.fallback else None
        self.undo = Block((msgspec.structs.replace(step.undo, id="undo", needs=()),)) if step.undo else None


class Block:
    """One list of steps. `waits[i]`: how many steps step i needs.  `dependents[i]`: the steps that need step i.

    `leaves_traces`: a step in or below it still matters after the list has succeeded: to be undone, not to happen twice, or
    for the key under which its result is recorded.
    """

    __slots__ = ("dependents", "index", "leaves_traces", "nodes", "waits")

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.nodes = [Node(step, i) for i, step in enumerate(steps)]
        self.index = {step.id: i for i, step in enumerate(steps)}
        self.waits = [len(set(step.needs)) for step in steps]
        self.dependents: list[list[int]] = [[] for _ in steps]
        for i, step in enumerate(steps):
            for need in dict.fromkeys(step.needs):
                self.dependents[self.index[need]].append(i)
        self.leaves_traces = any(_leaves_traces(node) for node in self.nodes)

    def descendants(self, start: int) -> list[int]:
        """Every step that needs step `start`, directly or through others, in the order of the list."""
        seen: set[int] = set()
        todo = [start]
        while todo:
            for i in self.dependents[todo.pop()]:
                if i not in seen:
                    seen.add(i)
                    todo.append(i)
        return sorted(seen)


def _leaves_traces(node: Node) -> bool:
    step = node.step
    if step.undo is not None or node.is_once or step.cache is not None or step.idempotency_key is not None:
        return True
    if isinstance(step.action, model.Agent) and any(_leaves_traces(Node(tool.step, 0)) for tool in step.action.tools):
        return True
    return any(block.leaves_traces for block in (node.body, node.probe, node.fallback) if block is not None)


class Plan:
    """What `interpreter` needs to know of a definition."""

    __slots__ = ("definition", "handlers", "root", "uses")

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.root = Block(definition.steps)
        self.handlers = {name: Block(steps) for name in HANDLERS if (steps := definition.handler(name))}
        self.uses = frozenset(_uses([self.root, *self.handlers.values()]))  # the kinds of action that its steps perform


def _uses(blocks: Iterable[Block | None]) -> Iterator[str]:
    for block in blocks:
        for node in block.nodes if block is not None else ():
            yield node.step.uses
            if isinstance(node.step.action, model.Agent):
                yield "turn"
                yield from (tool.step.uses for tool in node.step.action.tools)
            yield from _uses((node.body, node.fallback, node.probe, node.undo))


def action_names(definition: Definition) -> dict[str, str]:
    """Declared path -> the name of its action, for every step anywhere in the definition."""
    found: dict[str, str] = {}
    _collect(found, "", definition.steps)
    for name in HANDLERS:
        _collect(found, f"{name}.", definition.handler(name))
    return found


def _collect(found: dict[str, str], prefix: str, steps: Iterable[Step]) -> None:
    for step in steps:
        path = prefix + step.id
        found[path] = step.uses
        if isinstance(step.action, _CONTAINERS):
            _collect(found, f"{path}.", step.action.steps)
        _collect(found, f"{path}.fallback.", step.fallback)
        _collect(found, f"{path}.probe.", step.probe)
        if step.undo is not None:
            found[f"{path}.undo"] = step.undo.uses
            _collect_within(found, f"{path}.undo", step.undo)


def _collect_within(found: dict[str, str], path: str, step: Step) -> None:
    if isinstance(step.action, _CONTAINERS):
        _collect(found, f"{path}.", step.action.steps)
