"""`agentctl graph`: a definition or a run, as a tree, for other programs, as JSON."""

from __future__ import annotations

import shutil
import stat

import pytest

WORK = """
    loop: work
    steps:
      - id: first
        set: {a: 1}
      - id: beside
        needs: []
        set: {b: 1}
      - id: broken
        needs: [first]
        fail: no
        fallback:
          - id: rule
            fail: nor this
    on_failure:
      - id: tell
        set: {m: "${{ error.message }}"}
"""


@pytest.fixture
def ran(project, agentctl) -> str:
    """The id of a run of WORK, which fails."""
    project.write("loops/work.yaml", WORK)
    return agentctl("run", "work", "--json").json["run_id"]


def test_the_graph_of_a_definition_is_drawn_by_file_and_by_name_alike(agentctl, project):
    project.write("loops/work.yaml", WORK)
    by_name = agentctl("graph", "work")
    assert by_name.out.splitlines() == [
        "loop work",
        "├─ first        set",
        "├─ beside       set   at once",
        "├─ broken       fail  needs first",
        "│  └─ fallback",
        "│     └─ rule   fail",
        "└─ on_failure",
        "   └─ tell      set",
    ]
    assert agentctl("graph", "loops/work.yaml").out == by_name.out
    assert not project.store.exists()


def test_the_graph_of_a_run_says_what_became_of_each_step(agentctl, ran):
    lines = agentctl("graph", ran[:8]).out.splitlines()
    assert lines[0] == f"loop work  run {ran}  ✗ failed"
    assert [line.split()[1] for line in lines[1:4]] == ["✓", "✓", "✗"]
    assert "✓ tell" in lines[-1]


def test_json_has_nodes_with_their_status_and_edges(agentctl, ran):
    document = agentctl("graph", "last", "--json").json
    assert list(document) == ["nodes", "edges"]
    assert {node["id"]: node["status"] for node in document["nodes"]} == {
        "first": "succeeded",
        "beside": "succeeded",
        "broken": "failed",
        "broken.fallback": "failed",
        "broken.fallback.rule": "failed",
        "on_failure": "succeeded",
        "on_failure.tell": "succeeded",
    }
    assert document["edges"] == [
        {"from": "first", "to": "broken", "kind": "needs"},
        {"from": "broken", "to": "broken.fallback", "kind": "fallback"},
    ]
    assert {node["status"] for node in agentctl("graph", "work", "--json").json["nodes"]} == {None}


def test_a_run_keeps_the_graph_it_ran_by_when_the_file_is_edited(agentctl, project, ran):
    project.write("loops/work.yaml", "loop: work\nsteps: [{id: other, set: {a: 1}}]\n")
    assert "first" in agentctl("graph", ran).out
    assert "other" in agentctl("graph", "work").out


def test_mermaid_and_dot_go_to_stdout(agentctl, ran):
    assert agentctl("graph", "work", "--format", "mermaid").out.startswith("flowchart TD\n")
    assert agentctl("graph", ran, "--format", "dot").out.startswith('digraph "work" {\n')


def test_svg_without_graphviz_is_one_clear_error(agentctl, project, ran):
    result = agentctl("graph", "work", "--format", "svg", env={"PATH": str(project.root)})
    assert (result.code, result.out) == (2, "")
    assert "needs the program `dot` of Graphviz" in result.err


def test_svg_is_what_graphviz_draws_of_the_dot_text(agentctl, project, ran):
    program = project.write("bin/dot", '#!/bin/sh\necho "<svg>$1"\n/bin/cat\necho "</svg>"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    drawn = agentctl("graph", "work", "--format", "svg", env={"PATH": str(program.parent)}).out
    assert drawn == f"<svg>-Tsvg\n{agentctl('graph', 'work', '--format', 'dot').out}</svg>\n"


def test_what_graphviz_complains_about_is_told(agentctl, project, ran):
    program = project.write("bin/dot", '#!/bin/sh\necho "Error: out of colours" >&2\nexit 3\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    result = agentctl("graph", "work", "--format", "svg", env={"PATH": str(program.parent)})
    assert (result.code, result.out) == (1, "")
    assert "Error: out of colours" in result.err


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_itself_draws_it(agentctl, ran):
    assert "</svg>" in agentctl("graph", ran, "--format", "svg").out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["wrok"], 4, "did you mean 'work'"),
        (["missing.yaml"], 4, "no such file"),
        (["loops/"], 4, "is a folder"),
        (["loops"], 4, "no definition and no run"),
        (["work", "--format", "mermiad"], 2, "did you mean 'mermaid'"),
        (["work", "--format", "dot", "--json"], 2, "leave out"),
    ],
)
def test_what_has_no_graph_is_refused_in_one_sentence(agentctl, ran, arguments, code, words):
    result = agentctl("graph", *arguments)
    assert (result.code, result.out if "--json" not in arguments else "") == (code, "")
    assert words in result.err + result.out


def test_a_definition_with_problems_shows_them(agentctl, project):
    project.write("loops/bad.yaml", "loop: bad\nsteps: [{sett: {a: 1}}]\n")
    result = agentctl("graph", "loops/bad.yaml")
    assert result.code == 2
    assert "loops/bad.yaml:2:" in result.err
