"""The steps of a definition as a graph: nested nodes, and edges between the steps of one list.

With the steps of a run, each node also has its status. `render` draws it as a tree, for Mermaid and for Graphviz.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter

import msgspec

from agentctl import JSON
from agentctl.expressions.template import Template
from agentctl.model import HANDLERS, Approve, Definition, Foreach, Group, Repeat, Skill, Step, Wait
from agentctl.paths import declared_path, holders, split_round
from agentctl.ports import FINISHED
from agentctl.views.steps import StepView

ATTACHED = ("fallback", "probe", "undo")  # roles of nodes that belong to a step but are not inside it
# The status of a node with several items or iterations: the first of these that one of them has.
_TELLING = (
    "failed", "unknown", "blocked", "cancelled", "running", "retrying", "waiting", "pending",
    "recovered", "succeeded", "reused", "skipped", "not_run",
)  # fmt: skip


class Node(msgspec.Struct, kw_only=True):
    """A step, or a list of steps that belongs to a step (fallback, probe) or to the run (a handler).

    `path`: without the numbers of items and rounds.
    `parent`: path of the node that holds it.
    `role`: step, fallback, probe, undo, handler.
    `needs`: ids of every step it waits for.
    `after`: those of `needs` that no other one implies.
    `subject`: what the action is about.
    `notes`: unusual settings, in a few words.
    `counts`: status -> number of steps, for a run.
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
    """`kind`: needs, or the role of the attached node."""

    start: str
    end: str
    kind: str


class Graph(msgspec.Struct, kw_only=True):
    """`nodes`: each after its parent, siblings in file order.  `run`: id and status, for a run."""

    kind: str
    name: str
    nodes: list[Node]
    edges: list[Edge]
    run: tuple[str, str] | None = None

    def children(self) -> dict[str | None, list[Node]]:
        """Return the nodes by the path of their parent; None: those at the top level."""
        found: dict[str | None, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(node.parent, []).append(node)
        return found


def graph_of(definition: Definition) -> Graph:
    """Build the graph of a definition. Edges that other edges imply are left out."""
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
    """Set the status of every node from the steps of a run: the last round of several, all items of a foreach."""
    seen = [step for step in steps if not step.block or not step.path.endswith("]")]  # an item is no node of its own
    newest = _newest_rounds([step.path for step in seen])
    lists = {node.path for node in graph.nodes if not node.action}
    by_pattern: dict[str, list[StepView]] = {}
    for step in seen:
        path = declared_path(step.path)
        if step.block == (path in lists) and not _is_superseded(step.path, newest):
            by_pattern.setdefault(path, []).append(step)
    unreached = "not_run" if status in FINISHED else "pending"
    for node in graph.nodes:
        counts = Counter(step.status for step in by_pattern.get(node.path, ()))
        node.counts = dict(counts)
        node.status = next((name for name in _TELLING if name in counts), unreached)
    graph.run = (run_id, status)


def _newest_rounds(paths: Iterable[str]) -> dict[str, int]:
    """Return the number of the last round by path without rounds, for everything that had several."""
    newest: dict[str, int] = {}
    for path in paths:
        for holder in (*holders(path), path):
            base, number = split_round(holder)
            newest[base] = max(newest.get(base, 1), number)
    return newest


def _is_superseded(path: str, newest: dict[str, int]) -> bool:
    """Return whether the path, or a list that holds it, belongs to an earlier round than the last one."""
    rounds = [split_round(holder) for holder in holders(path)]
    base, number = split_round(path)
    return any(of < newest[holder] for holder, of in rounds) or 1 < number < newest[base]


def graph_document(graph: Graph) -> dict[str, JSON]:
    """The document of `graph --json`: `{nodes, edges}`."""
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
    """Return the needs of each step by id, without those that another of its needs implies."""
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
    """Return the unusual settings of a step."""
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
    """Return the source text in one line; for a literal list, its length."""
    if template.source:
        return " ".join(template.source.split())
    value = template.tree[1] if template.is_literal else None
    return f"{len(value):,} item{'' if len(value) == 1 else 's'}" if isinstance(value, list) else "a value"
