"""The steps of a definition as a graph: nodes within nodes, edges between those of one list; drawn here as a tree.

`diagrams` draws the same graph for Mermaid and Graphviz. With the steps of a run its nodes say what became of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter

import msgspec

from agentctl import JSON
from agentctl.core.paths import pattern
from agentctl.expressions.template import Template
from agentctl.model import HANDLERS, Approve, Definition, Foreach, Group, Repeat, Skill, Step, Wait
from agentctl.ports import FINISHED
from agentctl.render.journal import StepView
from agentctl.render.text import cells, cut, pad, size, style, symbol, visible
from agentctl.render.timeline import Line

ATTACHED = ("fallback", "probe", "undo")  # the roles of what hangs beside a step, not inside of it
_ROUND = re.compile(r"@(\d+)")
_ROUND_END = re.compile(r"@(\d+)$")
_JOINT = re.compile(r"[.\[]")
# What a node of several items or iterations is marked by: the first of these that one of them is in.
_TELLING = (
    "failed", "unknown", "blocked", "cancelled", "running", "retrying", "waiting", "pending",
    "recovered", "succeeded", "reused", "skipped", "not_run",
)  # fmt: skip


class Node(msgspec.Struct, kw_only=True):
    """A step, or a list of steps that hangs at one (fallback, probe) or at the run (a handler).

    `path`: without the numbers of items and rounds.  `parent`: path of the node it belongs to.  `role`: step, fallback, probe,
    undo, handler.  `needs`: every step it waits for, by id.  `after`: those of them that no other one implies.
    `subject`: what the action is about.  `notes`: what else is worth a glance.  `counts`: status -> how many, of a run.
    """

    path: str
    parent: str | None
    label: str
    role: str
    action: str = ""
    name: str | None = None
    condition: str | None = None
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    subject: str = ""
    notes: tuple[str, ...] = ()
    status: str | None = None
    counts: dict[str, int] = {}


class Edge(msgspec.Struct, frozen=True):
    """`kind`: needs, or the role of what hangs at the step."""

    start: str
    end: str
    kind: str


class Graph(msgspec.Struct, kw_only=True):
    """`nodes`: each after the one that holds it, siblings in the order of the file.  `run`: id and status, of a run."""

    kind: str
    name: str
    nodes: list[Node]
    edges: list[Edge]
    run: tuple[str, str] | None = None

    def children(self) -> dict[str | None, list[Node]]:
        """parent path -> its nodes; None: the definition's own."""
        found: dict[str | None, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(node.parent, []).append(node)
        return found


def graph_of(definition: Definition) -> Graph:
    """The graph of a definition. Of the edges between steps only those are drawn that no others imply."""
    nodes: list[Node] = []
    _list(nodes, None, "", definition.steps)
    for name in HANDLERS:
        steps = definition.handler(name)
        if steps:
            nodes.append(Node(path=name, parent=None, label=name, role="handler"))
            _list(nodes, name, f"{name}.", steps)
    edges = []
    for node in nodes:
        prefix = node.path[: len(node.path) - len(node.label)]
        edges += [Edge(prefix + need, node.path, "needs") for need in node.after]
        if node.role in ATTACHED and node.parent is not None:
            edges.append(Edge(node.parent, node.path, node.role))
    return Graph(kind=definition.kind, name=definition.name, nodes=nodes, edges=edges)


def mark(graph: Graph, run_id: str, status: str, steps: Iterable[StepView]) -> None:
    """Tell every node what became of it in a run. Of several rounds the last one counts, of items all of them."""
    seen = [step for step in steps if not step.block or not step.path.endswith("]")]  # an item is no node of its own
    newest = _newest_rounds([step.path for step in seen])
    lists = {node.path for node in graph.nodes if not node.action}
    by_pattern: dict[str, list[StepView]] = {}
    for step in seen:
        path = pattern(step.path)
        if step.block == (path in lists) and not _is_superseded(step.path, newest):
            by_pattern.setdefault(path, []).append(step)
    unreached = "not_run" if status in FINISHED else "pending"
    for node in graph.nodes:
        counts = Counter(step.status for step in by_pattern.get(node.path, ()))
        node.counts = dict(counts)
        node.status = next((name for name in _TELLING if name in counts), unreached)
    graph.run = (run_id, status)


def _newest_rounds(paths: Iterable[str]) -> dict[str, int]:
    """path without rounds -> the number of its last round, of everything that had several."""
    newest: dict[str, int] = {}
    for path in paths:
        for match in _ROUND.finditer(path):
            base = _ROUND.sub("", path[: match.start()])
            newest[base] = max(newest.get(base, 1), int(match[1]))
    return newest


def _is_superseded(path: str, newest: dict[str, int]) -> bool:
    """Whether the path, or a list that holds it, is of an earlier round than the last one."""
    holders = [path[: match.start()] for match in _JOINT.finditer(path)]
    for prefix in holders if _ROUND_END.search(path) is None else [*holders, path]:
        match = _ROUND_END.search(prefix)
        if (int(match[1]) if match else 1) < newest.get(_ROUND.sub("", prefix), 1):
            return True
    return False


def graph_document(graph: Graph) -> dict[str, JSON]:
    """`{nodes, edges}`: nodes `{id, parent, role, label, name, action, if, needs, status, counts}`, edges `{from, to, kind}`."""
    return {
        "nodes": [
            {
                "id": node.path,
                "parent": node.parent,
                "role": node.role,
                "label": node.label,
                "name": node.name,
                "action": node.action or None,
                "if": node.condition,
                "needs": list(node.needs),
                "status": node.status,
                "counts": node.counts,
            }
            for node in graph.nodes
        ],
        "edges": [{"from": edge.start, "to": edge.end, "kind": edge.kind} for edge in graph.edges],
    }


# --- from a definition ---------------------------------------------------------------------------------------------


def _list(nodes: list[Node], parent: str | None, prefix: str, steps: Sequence[Step]) -> None:
    after = _reduced(steps)
    for step in steps:
        _step(nodes, parent, prefix + step.id, step, after[step.id])


def _step(nodes: list[Node], parent: str | None, path: str, step: Step, after: tuple[str, ...], role: str = "step") -> None:
    condition = None if step.condition is None else _source(step.condition)
    nodes.append(
        Node(
            path=path,
            parent=parent,
            label="undo" if role == "undo" else step.id,
            role=role,
            action=step.uses,
            name=step.name,
            condition=condition,
            needs=step.needs if role == "step" else (),
            after=after,
            subject=_subject(step),
            notes=_notes(step),
        )
    )
    if isinstance(step.action, Group | Foreach | Repeat):
        _list(nodes, path, f"{path}.", step.action.steps)
    for name in ("probe", "fallback"):
        inner: tuple[Step, ...] = getattr(step, name)
        if inner:
            nodes.append(Node(path=f"{path}.{name}", parent=path, label=name, role=name))
            _list(nodes, f"{path}.{name}", f"{path}.{name}.", inner)
    if step.undo is not None:
        _step(nodes, path, f"{path}.undo", step.undo, (), "undo")


def _reduced(steps: Sequence[Step]) -> dict[str, tuple[str, ...]]:
    """step id -> those of its needs that none of its other needs waits for already."""
    number = {step.id: index for index, step in enumerate(steps)}
    needs = {step.id: [need for need in dict.fromkeys(step.needs) if need in number] for step in steps}
    before: dict[str, int] = {}  # step id -> bits of all that it waits for, directly or not
    for name in TopologicalSorter(needs).static_order():
        bits = 0
        for need in needs[name]:
            bits |= before[need] | 1 << number[need]
        before[name] = bits
    found = {}
    for name, wanted in needs.items():
        implied = 0
        for need in wanted:
            implied |= before[need]
        kept = [need for need in wanted if not implied >> number[need] & 1]
        found[name] = tuple(sorted(kept, key=number.__getitem__))
    return found


def _notes(step: Step) -> tuple[str, ...]:
    """What is unusual about it."""
    notes = []
    if isinstance(step.action, Foreach) and step.action.max_parallel > 1:
        notes.append(f"{step.action.max_parallel} in parallel")
    if isinstance(step.action, Skill) and step.action.detach:
        notes.append("detached")
    if step.retry.attempts > 1:
        notes.append(f"{step.retry.attempts} attempts")
    if step.effect == "once":
        notes.append("once")
    if step.continue_on_error:
        notes.append("may fail")
    return tuple(notes)


def _subject(step: Step) -> str:
    match step.action:
        case Skill(name=name):
            return name
        case Foreach(items=items):
            return _source(items)
        case Repeat(until=until, condition=condition, max=limit):
            known = [f"until {_source(until)}"] if until is not None else []
            known += [f"while {_source(condition)}"] if condition is not None else []
            return ", ".join([*known, f"at most {limit} times"])
        case Wait(duration=duration, until=until, event=event, run=run):
            kinds = (("", duration), ("until ", until), ("event ", event), ("run ", run))
            return "".join(word + _source(template) for word, template in kinds if template is not None)
        case Approve(message=message):
            return _source(message)
        case _:
            return ""


def _source(template: Template) -> str:
    """What the user wrote, in one line; of a literal list, how long it is."""
    if template.source:
        return " ".join(template.source.split())
    value = template.tree[1] if template.is_literal else None
    return size(len(value), "item") if isinstance(value, list) else "a value"


# --- as a tree -----------------------------------------------------------------------------------------------------


def tree_lines(graph: Graph, *, width: int | None = None) -> list[Line]:
    """The graph with one line a node, for a terminal of `width` columns; None: as wide as it gets."""
    rows: list[tuple[str, Node, str]] = []  # the lines that lead to a node, the node, when it starts
    children = graph.children()
    _branch(rows, children, None, "")
    labels = [f"{lead}{'' if node.status is None else symbol(node.status) + ' '}{visible(node.label)}" for lead, node, _ in rows]
    column = min(max(map(cells, labels), default=0), 40)
    words = max((len(node.action) for _, node, _ in rows), default=0)
    lines = [_title(graph)]
    for (lead, node, needs), label in zip(rows, labels, strict=True):
        facts = [visible(node.subject), visible(node.name or ""), _fate(node), *node.notes, _condition(node), needs]
        said = "  ".join(filter(None, facts))
        left = pad(cut(label, column), column)
        right = f"  {pad(node.action, words)}  {said}".rstrip()
        if width is not None:
            right = cut(right, max(width - cells(left), 10))
        mark = "bold" if node.role in ("handler", *ATTACHED) and not node.action else ""
        shown = style(node.status) if node.status is not None else mark
        lines.append(((left[: len(lead)], "dim"), (left[len(lead) :], shown), (right, "dim")))
    return lines


def _branch(rows: list[tuple[str, Node, str]], children: dict[str | None, list[Node]], parent: str | None, lead: str) -> None:
    below = children.get(parent, [])
    before: Node | None = None  # the step of the same list before this one
    for number, node in enumerate(below):
        last = number == len(below) - 1
        rows.append((lead + ("└─ " if last else "├─ "), node, _when(node, before)))
        _branch(rows, children, node.path, lead + ("   " if last else "│  "))
        before = node if node.role == "step" else before


def _when(node: Node, before: Node | None) -> str:
    """When it starts, where that is not simply after the step before."""
    if before is None or node.role != "step":
        return f"needs {', '.join(node.after)}" if node.after else ""
    if not node.after:
        return "at once"
    return "" if node.after == (before.label,) else f"needs {', '.join(node.after)}"


def _condition(node: Node) -> str:
    return "" if node.condition is None else f"if {visible(node.condition)}"


def _fate(node: Node) -> str:
    """What its symbol cannot say: the status by its name, or how many items ended how."""
    if sum(node.counts.values()) > 1:
        return ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in node.counts.items())
    plain = node.status in (None, "succeeded", "failed", "running", "pending", "not_run")
    return "" if plain else str(node.status).replace("_", " ")


def _title(graph: Graph) -> Line:
    title = ((f"{graph.kind} ", "dim"), (visible(graph.name), "bold"))
    if graph.run is None:
        return title
    run_id, status = graph.run
    return (*title, (f"  run {run_id}  ", "dim"), (f"{symbol(status)} {status}", style(status)))
