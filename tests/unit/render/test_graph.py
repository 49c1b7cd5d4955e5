"""The step graph: its nodes and edges, the tree, and labels that no text of a user can break."""

from __future__ import annotations

import re

import pytest

from agentctl import model
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.model import Definition
from agentctl.render.diagrams import dot, mermaid
from agentctl.render.graph import tree_lines
from agentctl.render.timeline import plain
from agentctl.testing.definitions import in_order, set_step, skill, task, wait
from agentctl.views.graph import Graph, graph_document, graph_of, mark
from agentctl.views.steps import StepView

NASTY = 'a "quoted" <b>bold</b> & #35; `tick` \\N back\nnext\x1b[2J %%{init}%% end --> x'


def group(id: str, *steps: model.Step, **more) -> model.Step:
    return model.Step(id=id, action=model.Group(in_order(*steps)), uses="steps", **more)


def foreach(id: str, *steps: model.Step, items=(1, 2, 3)) -> model.Step:
    return model.Step(id=id, action=model.Foreach(parse_value(list(items)), in_order(*steps)), uses="foreach")


def graph(*steps: model.Step, **more) -> Graph:
    return graph_of(Definition(kind="loop", name="demo", steps=in_order(*steps), **more))


def edges(made: Graph) -> set[tuple[str, str, str]]:
    return {(edge.start, edge.end, edge.kind) for edge in made.edges}


def drawn(made: Graph, width: int | None = None) -> list[str]:
    return plain(tree_lines(made, width=width)).splitlines()


def test_steps_in_order_are_joined_each_to_the_next_and_said_to_need_nothing_more():
    made = graph(set_step("a"), set_step("b"), set_step("c"))
    assert edges(made) == {("a", "b", "needs"), ("b", "c", "needs")}
    assert drawn(made) == ["loop demo", "├─ a  set", "├─ b  set", "└─ c  set"]


def test_a_need_that_another_one_implies_is_no_edge_but_still_told_in_the_document():
    made = graph(set_step("a"), set_step("b"), task("c", needs=("b", "a")))
    assert ("a", "c", "needs") not in edges(made)
    assert graph_document(made)["nodes"][2]["needs"] == ["b", "a"]


def test_a_step_that_needs_others_than_the_one_before_says_which():
    made = graph(set_step("a"), task("b", needs=("",)), task("c", needs=("a", "b")))
    assert drawn(made)[2:] == ["├─ b  shell  at once", "└─ c  shell  needs a, b"]


def test_what_hangs_at_a_step_and_handlers_are_branches_with_their_roles():
    charge = task("charge", undo=task("refund"), fallback=(set_step("rule"),), probe=(set_step("look"),))
    made = graph(charge, on_failure=(set_step("tell"),), finally_=(set_step("sweep"),))
    assert drawn(made) == [
        "loop demo",
        "├─ charge       shell",
        "│  ├─ probe",
        "│  │  └─ look   set",
        "│  ├─ fallback",
        "│  │  └─ rule   set",
        "│  └─ undo      shell",
        "├─ on_failure",
        "│  └─ tell      set",
        "└─ finally",
        "   └─ sweep     set",
    ]
    assert {edge for edge in edges(made) if edge[2] != "needs"} == {
        ("charge", "charge.probe", "probe"),
        ("charge", "charge.fallback", "fallback"),
        ("charge", "charge.undo", "undo"),
    }


def test_the_tree_tells_what_an_action_is_about():
    until = model.Repeat(in_order(set_step("look")), until=parse_expression("index == 2"), max=5)
    made = graph(
        skill("call", "triage"),
        wait("nap", "2h"),
        foreach("each", set_step("one")),
        model.Step(id="poll", action=until, uses="repeat"),
        task("risky", condition=parse_expression("input.go"), retry=model.Retry(attempts=3), effect="once"),
    )
    shown = "\n".join(drawn(made))
    for words in ("skill    triage", "wait     2h", "foreach  3 items", "until index == 2, at most 5 times"):
        assert words in shown
    assert "shell    3 attempts  once  if input.go" in shown


def test_a_tree_is_cut_to_the_terminal():
    made = graph(task("a", condition=parse_expression("input.x == '" + "y" * 200 + "'")))
    assert max(map(len, drawn(made, width=60))) <= 60
    assert len(drawn(made)[1]) > 200


def test_a_run_marks_each_step_and_counts_items():
    made = graph(foreach("each", set_step("one")), set_step("after"))
    views = [
        StepView("each", "foreach", "failed"),
        StepView("each[0]", status="succeeded", block=True),
        StepView("each[0].one", "set", "succeeded"),
        StepView("each[1].one", "set", "failed"),
        StepView("each[2].one", "set", "succeeded"),
    ]
    mark(made, "r1", "failed", views)
    assert [(node.path, node.status, node.counts) for node in made.nodes] == [
        ("each", "failed", {"failed": 1}),
        ("each.one", "failed", {"succeeded": 2, "failed": 1}),
        ("after", "not_run", {}),
    ]
    assert drawn(made)[0] == "loop demo  run r1  ✗ failed"
    assert "✗ one" in drawn(made)[2]
    assert "2 succeeded, 1 failed" in drawn(made)[2]


def test_of_several_rounds_of_a_group_the_last_one_counts():
    made = graph(group("both", set_step("a"), foreach("each", set_step("one"))))
    views = [
        StepView("both", "steps", "succeeded"),
        StepView("both.a", "set", "failed"),
        StepView("both.each", "foreach", "succeeded"),
        *(StepView(f"both.each[{number}].one", "set", "succeeded") for number in range(5)),
        StepView("both@2", status="succeeded", block=True),
        StepView("both@2.a", "set", "succeeded"),
        StepView("both@2.each", "foreach", "succeeded"),
        StepView("both@2.each[0].one", "set", "succeeded"),
    ]
    mark(made, "r1", "succeeded", views)
    assert {node.path: node.counts for node in made.nodes} == {
        "both": {"succeeded": 1},
        "both.a": {"succeeded": 1},
        "both.each": {"succeeded": 1},
        "both.each.one": {"succeeded": 1},
    }


def test_what_a_run_under_way_has_not_reached_is_pending():
    made = graph(set_step("a"), set_step("b"))
    mark(made, "r1", "running", [StepView("a", "set", "succeeded")])
    assert [node.status for node in made.nodes] == ["succeeded", "pending"]


def test_the_document_names_nodes_by_path_and_edges_between_them():
    document = graph_document(graph(group("g", set_step("a"), set_step("b"))))
    assert [node["id"] for node in document["nodes"]] == ["g", "g.a", "g.b"]
    assert [node["parent"] for node in document["nodes"]] == [None, "g", "g"]
    assert document["edges"] == [{"from": "g.a", "to": "g.b", "kind": "needs"}]


def test_mermaid_draws_lists_as_subgraphs_and_uses_no_id_of_the_user():
    made = graph(group("end", set_step("graph")), task("subgraph", fallback=(set_step("rule"),)))
    assert mermaid(made).splitlines() == [
        "flowchart TD",
        '  subgraph n0["end, steps"]',
        '    n1["graph<br/>set"]',
        "  end",
        '  n2["subgraph<br/>shell"]',
        '  subgraph n3["fallback"]',
        '    n4["rule<br/>set"]',
        "  end",
        "  n0 --> n2",
        "  n2 -. fallback .-> n3",
    ]


def test_dot_joins_boxes_and_cuts_edges_off_at_the_border_of_a_cluster():
    text = dot(graph(group("g", set_step("a"), set_step("b")), group("h", set_step("c"))))
    assert "  n2 -> n4 [ltail=cluster_n0 lhead=cluster_n3]" in text
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize("draw", [mermaid, dot])
def test_a_run_is_coloured_and_says_the_same_by_symbols(draw):
    made = graph(set_step("a"), set_step("b"))
    mark(made, "r1", "failed", [StepView("a", "set", "succeeded"), StepView("b", "set", "failed")])
    text = draw(made)
    assert "✓ a" in text
    assert "✗ b" in text
    assert "#ffe3e3" in text


def test_no_text_of_a_user_breaks_out_of_a_label_of_mermaid():
    line = next(line for line in mermaid(graph(task("a", name=NASTY))).splitlines() if line.startswith("  n0"))
    label = re.fullmatch(r'  n0\["(.*)"\]', line)
    assert label is not None
    assert not re.search(r'["`\\%{;]|<(?!br/>)', re.sub(r"#\d+;", "", label[1]))
    assert "#34;quoted#34; #60;b#62;" in label[1]


def test_no_text_of_a_user_breaks_out_of_a_label_of_graphviz():
    line = next(line for line in dot(graph(task("a", name=NASTY))).splitlines() if line.startswith("  n0"))
    label = re.fullmatch(r'  n0 \[label="((?:[^"\\]|\\.)*)"\]', line)
    assert label is not None
    assert '\\"quoted\\" <b>bold</b> &amp; #35;' in label[1]
    assert "\\\\N back" in label[1]
    assert "\x1b" not in line


def test_a_thousand_steps_in_a_row_are_drawn():
    made = graph(*(set_step(f"s{number}") for number in range(1000)))
    assert len(made.edges) == 999
    assert len(drawn(made)) == 1001
