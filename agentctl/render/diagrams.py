"""A step graph for Mermaid and for Graphviz. Text from users is only ever a label, and labels are escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentctl.render.text import cut, symbol, visible
from agentctl.views.graph import ATTACHED, Graph, Node

FORMATS = ("tree", "mermaid", "dot", "svg")
_WIDEST = 48  # characters of one line of a label

# status -> fill and border. Dark text on all of them; the symbol in the label says the same without colour.
_COLOURS = {
    "succeeded": ("#d3f9d8", "#2b8a3e"),
    "recovered": ("#e9fac8", "#5c940d"),
    "reused": ("#e6fcf5", "#087f5b"),
    "failed": ("#ffe3e3", "#c92a2a"),
    "unknown": ("#ffdeeb", "#a61e4d"),
    "blocked": ("#f3d9fa", "#862e9c"),
    "cancelled": ("#fff3bf", "#e67700"),
    "retrying": ("#fff3bf", "#e67700"),
    "running": ("#c5f6fa", "#0b7285"),
    "waiting": ("#d0ebff", "#1864ab"),
}
_AT_REST = ("#f1f3f5", "#868e96")  # pending, skipped, not_run


def _lines(node: Node) -> list[str]:
    """Return the lines in the box of a node: id with its symbol, name, action, condition."""
    head = node.label if node.status is None else f"{symbol(node.status)} {node.label}"
    subject = " ".join(filter(None, [node.action, node.subject]))
    condition = None if node.condition is None else f"if {node.condition}"
    some = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in node.counts.items())
    texts = [head, node.name, subject, condition, some if sum(node.counts.values()) > 1 else None]
    return [cut(visible(text), _WIDEST) for text in texts if text]


class _Drawing:
    """What both languages need of a graph. Ids are numbers: a step may be called `end` or `graph`."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.below = graph.children()
        self.ids = {node.path: f"n{number}" for number, node in enumerate(graph.nodes)}

    def body(self, node: Node) -> list[Node]:
        """Return the nodes inside a node; attached ones are drawn beside it."""
        return [child for child in self.below.get(node.path, []) if child.role not in ATTACHED]

    def beside(self, node: Node) -> list[Node]:
        return [child for child in self.below.get(node.path, []) if child.role in ATTACHED]

    def draw(
        self, nodes: list[Node], depth: int, box: Callable[[Node], str], frame: Callable[[Node], tuple[str, str]]
    ) -> Iterator[str]:
        """Yield the lines of `nodes` with everything inside and beside them. `frame`: opens and closes a box of boxes."""
        indent = "  " * depth
        for node in nodes:
            body = self.body(node)
            if body:
                opening, closing = frame(node)
                yield from (indent + line for line in opening.split("\n"))
                yield from self.draw(body, depth + 1, box, frame)
                yield indent + closing
            else:
                yield indent + box(node)
            yield from self.draw(self.beside(node), depth, box, frame)


def mermaid(graph: Graph) -> str:
    """Return a `flowchart`. Lists are subgraphs; attached nodes are joined by a dotted line."""
    drawing = _Drawing(graph)

    def label(node: Node, joint: str) -> str:
        return joint.join(map(_mermaid_text, _lines(node)))

    def box(node: Node) -> str:
        left, right = (
            ("[[", "]]") if node.action == "skill" else ("([", "])") if node.action in ("wait", "approve") else ("[", "]")
        )
        return f'{drawing.ids[node.path]}{left}"{label(node, "<br/>")}"{right}'

    def frame(node: Node) -> tuple[str, str]:
        return f'subgraph {drawing.ids[node.path]}["{label(node, ", ")}"]', "end"

    lines = ["flowchart TD", *drawing.draw(drawing.below.get(None, []), 1, box, frame)]
    for edge in graph.edges:
        arrow = "-->" if edge.kind == "needs" else f"-. {edge.kind} .->"
        lines.append(f"  {drawing.ids[edge.start]} {arrow} {drawing.ids[edge.end]}")
    by_status: dict[str, list[str]] = {}
    for node in graph.nodes:
        if node.status is not None:
            by_status.setdefault(node.status, []).append(drawing.ids[node.path])
    for status, ids in by_status.items():
        fill, border = _COLOURS.get(status, _AT_REST)
        lines.append(f"  classDef {status} fill:{fill},stroke:{border},color:#212529")
        lines.append(f"  class {','.join(ids)} {status}")
    return "\n".join(lines)


# Mermaid reads entities as `#name;`, HTML in labels, and Markdown between backticks.
_MERMAID = {ord(char): f"#{ord(char)};" for char in '#"<>&`\\{%;*_~$'}


def _mermaid_text(text: str) -> str:
    return text.translate(_MERMAID)


def dot(graph: Graph) -> str:
    """Return a `digraph`. Lists are clusters; Graphviz joins nodes only, so an edge of a cluster is cut off at its border."""
    drawing = _Drawing(graph)
    by_path = {node.path: node for node in graph.nodes}

    def colours(node: Node) -> str:
        if node.status is None:
            return ""
        fill, border = _COLOURS.get(node.status, _AT_REST)
        return f' style="rounded,filled" fillcolor="{fill}" color="{border}"'

    def box(node: Node) -> str:
        return f"{drawing.ids[node.path]} [label={_dot_text(_lines(node))}{colours(node)}]"

    def frame(node: Node) -> tuple[str, str]:
        head = f"subgraph cluster_{drawing.ids[node.path]} {{"
        drawn = colours(node) or ' style="rounded" color="#868e96"'
        return f"{head}\n  graph [label={_dot_text([', '.join(_lines(node))])}{drawn}]", "}"

    lines = [
        f"digraph {_dot_text([visible(graph.name)])} {{",
        '  graph [compound=true fontname="sans-serif"]',
        '  node [shape=box style="rounded" fontname="sans-serif"]',
        '  edge [fontname="sans-serif" fontsize=10]',
        *drawing.draw(drawing.below.get(None, []), 1, box, frame),
    ]
    for edge in graph.edges:
        start, tail = _anchor(drawing, by_path[edge.start], last=True)
        end, head = _anchor(drawing, by_path[edge.end], last=False)
        attributes = [f"ltail={tail}" if tail else "", f"lhead={head}" if head else ""]
        attributes.append("" if edge.kind == "needs" else f'style=dashed label="{edge.kind}"')
        shown = " ".join(filter(None, attributes))
        lines.append(f"  {start} -> {end}" + (f" [{shown}]" if shown else ""))
    return "\n".join([*lines, "}"])


def _anchor(drawing: _Drawing, node: Node, *, last: bool) -> tuple[str, str]:
    """Return the box of a node for an edge, and the cluster at whose border the edge ends, if it is one."""
    cluster = f"cluster_{drawing.ids[node.path]}" if drawing.body(node) else ""
    while body := drawing.body(node):
        node = body[-1] if last else body[0]
    return drawing.ids[node.path], cluster


def _dot_text(lines: list[str]) -> str:
    """Quote lines for Graphviz, centred. It reads backslashes as escapes and `&lt;` as `<`."""
    escaped = [line.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in lines]
    return '"' + "\\n".join(escaped) + '"'
