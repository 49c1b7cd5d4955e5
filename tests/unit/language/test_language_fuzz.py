"""Whatever is in a file, loading it ends in a definition or in DefinitionInvalid, and checking it never raises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.errors import DefinitionInvalid
from agentctl.language.load import check, load
from agentctl.language.problems import format_problem
from agentctl.language.schema import schema
from agentctl.spec.catalog import BUILT_IN as ACTIONS

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

WORDS = [
    "${{ steps.a.output }}",
    "${{ input.x",
    "${{ item }}",
    "steps.b.output",
    "a",
    "5m",
    "once",
    "a-b",
    "",
    "* * * * *",
    "secrets.X",
    "${{ secrets.X }}",
    "10MiB",
]
scalars = st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.floats(0, 2), st.sampled_from(WORDS), st.text(max_size=5))
KEYS = sorted(
    {
        *schema()["properties"],
        *schema()["$defs"]["step"]["properties"],
        "cron",
        "event",
        "if",
        "max",
        "until",
        "probe",
        "limit",
        "run",
        "<<",
    }
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=12,
)
steps = st.lists(
    st.one_of(
        values,
        st.fixed_dictionaries(
            {"id": st.sampled_from(["a", "b", "c", 5]), "needs": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2)},
            optional=dict.fromkeys(ACTIONS, values) | {"fallback": values, "undo": values, "on_unknown": values, "with": values},
        ),
    ),
    max_size=4,
)
definitions = st.fixed_dictionaries({"steps": steps}, optional={key: values for key in schema()["properties"] if key != "steps"})


def survives(path: Path) -> None:
    found = check(path)
    text = path.read_bytes().decode("utf-8", errors="replace")
    for problem in found:
        assert problem.message
        assert problem.line >= 1
        assert problem.column >= 1
        assert format_problem(problem, text)
    try:
        load(path)
        refused = False
    except DefinitionInvalid:
        refused = True
    assert refused == any(problem.severity == "error" for problem in found)


@SETTINGS
@given(data=definitions)
def test_any_structure_is_loaded_or_refused(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(json.dumps({"loop": "x", **data}))
    survives(path)


@SETTINGS
@given(text=st.text(st.sampled_from(list("ab:- \n\t{}[]'\"&*!|>#%@,?$<~0.")), max_size=60))
def test_any_text_is_loaded_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    survives(path)


@SETTINGS
@given(data=st.binary(max_size=60))
def test_any_bytes_are_loaded_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    survives(path)


@pytest.mark.parametrize("cut", range(0, 600, 7))
def test_a_file_cut_anywhere_is_loaded_or_refused(tmp_path: Path, cut: int) -> None:
    text = """
loop: x
input: {service: {type: string, default: all}}
triggers: [{cron: "*/5 * * * *"}]
steps:
  - id: look
    shell: |
      uptime
      df -h
    retry: {attempts: 3, delay: 1s}
  - id: judge
    llm: {prompt: "x ${{ steps.look.output }}", schema: {severity: {type: string}}}
    fallback:
      - set: {severity: "${{ error.type }}"}
  - id: each
    foreach: ${{ [1, 2, 3] }}
    steps:
      - set: {v: "${{ item * 2 }}"}
    output: ${{ steps.set_1.output.v }}
output: {all: "${{ steps.each.output }}"}
finally:
  - {emit: {event: done, data: "${{ steps.judge.output }}"}}
"""
    path = tmp_path / "x.yaml"
    path.write_text(text[:cut])
    survives(path)
