"""A step graph as a tree of lines."""

from __future__ import annotations

from agentctl.render.text import cells, cut, pad, style, symbol, visible
from agentctl.render.timeline import Line
from agentctl.views.graph import ATTACHED, Graph, Node


def tree_lines(graph: Graph, *, width: int | None = None) -> list[Line]:
    """Return one line per node, for a terminal of `width` columns; None: no limit."""
    rows: list[tuple[str, Node, str]] = []  # the branch lines before a node, the node, when it starts
    children = graph.children()
    _branch(rows, children, None, "")
    labels = [f"{lead}{'' if node.status is None else symbol(node.status) + ' '}{visible(node.label)}" for lead, node, _ in rows]
    column = min(max(map(cells, labels), default=0), 40)
    words = max((len(node.action) for _, node, _ in rows), default=0)
    lines = [_title(graph)]
    for (lead, node, needs), label in zip(rows, labels, strict=True):
        facts = [visible(node.subject), visible(node.name or ""), _status(node), *node.notes, _condition(node), needs]
        text = "  ".join(filter(None, facts))
        left = pad(cut(label, column), column)
        right = f"  {pad(node.action, words)}  {text}".rstrip()
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
    """Say when a step starts, unless it follows the step before it."""
    if before is None or node.role != "step":
        return f"needs {', '.join(node.after)}" if node.after else ""
    if not node.after:
        return "at once"
    return "" if node.after == (before.label,) else f"needs {', '.join(node.after)}"


def _condition(node: Node) -> str:
    return "" if node.condition is None else f"if {visible(node.condition)}"


def _status(node: Node) -> str:
    """Return the status in words where the symbol is not enough, or the number of items per status."""
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
