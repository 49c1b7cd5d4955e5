from typing import Any

import pytest

from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.expressions.references import Reference, references


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("steps.a.output", [Reference(("steps", "a", "output"), 0)]),
        ("  steps['a'].output[0]", [Reference(("steps", "a", "output", 0), 2)]),
        ("${{ input.x + now }}", [Reference(("input", "x"), 4), Reference(("now",), 14)]),
        ("items[index].name", [Reference(("items",), 0), Reference(("index",), 6)]),
        ("steps[input.x].output", [Reference(("steps",), 0), Reference(("input", "x"), 6)]),
        ("a.b[1:n]", [Reference(("a", "b"), 0), Reference(("n",), 6)]),
        (
            "steps.a.output | default(steps.b.output)",
            [Reference(("steps", "a", "output"), 0, True), Reference(("steps", "b", "output"), 25)],
        ),
        ("a | default(b) | default(c)", [Reference(("a",), 0, True), Reference(("b",), 12, True), Reference(("c",), 25)]),
        ("a.b is defined and c", [Reference(("a", "b"), 0, True), Reference(("c",), 19)]),
        ("a is not defined", [Reference(("a",), 0, True)]),
        ("(a + b) | default(1)", [Reference(("a",), 1), Reference(("b",), 5)]),
        ("(a if b else c) | default(1)", [Reference(("b",), 6), Reference(("a",), 1, True), Reference(("c",), 13, True)]),
        ("a[b] | default(1)", [Reference(("a",), 0, True), Reference(("b",), 2)]),
        ("xs | first | default(1)", [Reference(("xs",), 0, True)]),
        ("xs | map(attribute=k) | list", [Reference(("xs",), 0), Reference(("k",), 19)]),
        ("xs | select('eq', y) | join(z)", [Reference(("xs",), 0), Reference(("y",), 18), Reference(("z",), 28)]),
        ("'%(lit)s' | format(lit=a, path=b)", [Reference(("a",), 23), Reference(("b",), 31)]),
        ("{'path': a, b: [c, 1]}", [Reference(("a",), 9), Reference(("b",), 12), Reference(("c",), 16)]),
        ("1 < a < b", [Reference(("a",), 4), Reference(("b",), 8)]),
        ("range(a) ~ b", [Reference(("a",), 6), Reference(("b",), 11)]),
        ("x is divisibleby y", [Reference(("x",), 0), Reference(("y",), 17)]),
        ("'steps.a' ~ 1", []),
    ],
)
def test_every_static_path_of_an_expression_is_found_where_it_stands(source: str, expected: list[Reference]) -> None:
    assert sorted(references(parse_expression(source)), key=lambda one: one.offset) == sorted(
        expected, key=lambda one: one.offset
    )


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ("a ${{ x.y }} b ${{ z }}", [(("x", "y"), 6), (("z",), 19)]),
        ({"k": "${{ x }}", "l": ["t", "n ${{ y }}"], "lit": "${{ z }}"}, [(("x",), 4), (("y",), 6), (("z",), 4)]),
        ({"path": ["lit", "${{ x }}"]}, [(("x",), 4)]),
        ("plain", []),
        ("$${{ x }}", []),
        ("${{ 'a' }}", []),
    ],
)
def test_references_come_from_everywhere_in_a_value_with_offsets_in_their_own_string(value: Any, paths: Any) -> None:
    assert [(one.path, one.offset) for one in references(parse_value(value))] == paths


def test_the_text_at_an_offset_is_the_name() -> None:
    text = "été: ${{ [steps.a.output,\n   input.b] | join(vars.sep) }}"
    assert [text[one.offset :][: len(str(one.path[0]))] for one in references(parse_value(text))] == ["steps", "input", "vars"]
