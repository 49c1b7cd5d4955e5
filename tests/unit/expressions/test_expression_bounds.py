"""What a hostile or careless expression may not do: reach Python, hang, or eat memory."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.errors import ExpressionError
from agentctl.expressions import limits
from agentctl.expressions.filters import FILTERS
from agentctl.expressions.parse import parse_expression, parse_value

SCOPE: dict[str, Any] = {
    "x": {"a": 1, "items": [1]},
    "s": "text",
    "n": 3,
    "xs": [1, 2],
    "big": "a" * 1_000_000,
    "event": {"data": ["b" * 1000] * 100},
}


def fails(source: str) -> str:
    """The error of parsing or evaluating `source`, which must come soon."""
    began = time.monotonic()
    with pytest.raises(ExpressionError) as caught:
        parse_expression(source).evaluate(SCOPE)
    assert time.monotonic() - began < 10
    return caught.value.message


@pytest.mark.parametrize(
    "source",
    [
        "''.__class__",
        "x.__class__",
        "x['__class__']",
        "x.keys",
        "x.keys()",
        "x.items()",
        "{}.items",
        "{}.items()",
        "[].append(1)",
        "s.format(1)",
        "s.upper",
        "''.__class__.__mro__",
        "().__class__",
        "range.__class__",
        "range",
        "range(3).__class__",
        "true.__class__",
        "n.real",
        "now()",
        "lipsum()",
        "cycler(1, 2)",
        "joiner()",
        "namespace(a=1)",
        "dict(a=1)",
        "self",
        "self.x",
        "caller()",
        "loop.index",
        "_.x",
        "s | attr('upper')",
        "s | attr('__class__')",
        "x | map(attribute='__class__') | list",
        "[s] | map(attribute='__class__') | list",
        "[s] | map('attr', 'upper') | list",
        "xs | sort(attribute='__class__')",
        "xs | groupby('__class__')",
        "'{0.__class__}' | format(s)",
        "'%(a.__class__)s' | format(a=s)",
        "xs | random",
        "s | safe",
        "s | escape",
        "s | pprint",
        "s | urlize",
        "range(*xs)",
        "s | replace(*xs)",
        "s | replace(**x)",
        "xs is callable",
        "s is escaped",
        "'upper' is filter",
        "s is sameas s",
        "xs[1, 2]",
        "xs.append",
        "import os",
        "x = 1",
        "lambda: 1",
        "[a for a in xs]",
        "{% if 1 %}",
        "1; 2",
        "x if",
        "`x`",
        "x!r",
        "f'{x}'",
        "a.",
        "1 }} {{ 2",
        "x -}} y",
        "{#c#}",
        "'\\ud800'",
        "1e999",
        "{1: 2}",
        "{n: 2}",
    ],
)
def test_nothing_of_python_can_be_reached(source: str) -> None:
    assert fails(source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("'a' * 100000000", "builds a text"),
        ("'a' * 10 ** 30", "builds a text"),
        ("big * 11", "builds a text"),
        ("[0] * 1000000", "builds a list"),
        ("[[0] * 50000] * 50000", "too much work"),
        ("[[[[[[0] * 90] * 90] * 90] * 90] * 90] * 90", "too much work"),
        ("[big] * 90000", "too much work"),
        ("[2 ** 4000] * 90000", "too much work"),
        ("range(10 ** 9)", "builds a list"),
        ("range(0, 10 ** 30)", "too large"),
        ("range(1, 9, 0)", "must not be 0"),
        ("range(1.5)", "takes integers"),
        ("10 ** 10000", "too large"),
        ("2 ** (2 ** 100)", "too large"),
        ("9 ** 1200 * 9 ** 1200", "too large"),
        ("-(2 ** 4095) * 4", "too large"),
        ("9" * 3000, "too large"),
        ("9" * 5000, "xceeds the limit"),
        ("([2 ** 4000] * 99) | sum ** 9", "too large"),
        ("s | center(10 ** 9)", "builds a text"),
        ("s | indent(10 ** 9)", "builds a text"),
        ("('a\\n' * 400000) | indent(100)", "builds a text"),
        ("big | replace('a', big)", "builds a text"),
        ("big | replace('', 'b' * 100)", "builds a text"),
        ("big | wordwrap(1)", "too much work"),
        ("('é' * 3000000) | urlencode", "builds a text"),
        ("range(90000) | join(big)", "builds a text"),
        ("'%999999999d' | format(1)", "is more than"),
        ("'%.999999999f' | format(1.0)", "is more than"),
        ("'%*d' | format(1, 1)", "is no format"),
        ("('%s' * 1000) | format(big)", "fewer arguments"),
        ("xs | batch(10 ** 9, 1)", "builds a list"),
        ("xs | slice(10 ** 9)", "builds a list"),
        ("range(90000) | map('string') | map('center', 5000) | list", "too much work"),
        ("range(90000) | map(attribute='q', default=event) | list", "too much work"),
        ("[" + "event, " * 1300 + "]", "too much work"),
        ("range(50000) | map('default', 1) | list", "cannot be mapped"),
        ("range(100000) | list | list | list | list | list | list | list | list | list | list", "too much work"),
        ("range(300) | map('replace', '', big) | list", "too much work"),
        ("('[' * 5000 ~ ']' * 5000) | fromjson", "not JSON|nested"),
        ("('[' * 500 ~ ']' * 500) | fromjson", "nested"),
        ("xs | tojson(indent=10 ** 9)", ""),
        ("1.5 | round(10 ** 9)", "precision"),
        ("1 | date('%Y' * 101)", "format is longer"),
        ("1 | date('%1000000d')", "no directive"),
    ],
)
def test_work_and_results_are_bounded(source: str, words: str) -> None:
    import re

    if source.startswith("xs | tojson"):
        assert parse_expression(source).evaluate(SCOPE) == "[\n" + " " * 16 + "1,\n" + " " * 16 + "2\n]"
        return
    message = fails(source)
    assert re.search(words, message), message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1" + " " * 10_000, "longer than 10,000 characters"),
        ("(" * 41 + "1" + ")" * 41, "brackets open at once"),
        ("[" * 5000 + "]" * 5000, "brackets open at once"),
        ("not " * 2000 + "1", "nested"),
        ("- " * 4000 + "1", "nested"),
        ("1" + "+1" * 200, "nested"),
        ("1 if 1 else " * 700 + "1", "nested"),
        ("x" + ".a[0]" * 200 + " + n[0]" + "[n]" * 200, "nested"),
        ("1" + "|abs" * 200, "nested"),
    ],
)
def test_the_source_is_bounded_in_length_and_depth(source: str, words: str) -> None:
    assert words in fails(source)


def test_brackets_in_strings_do_not_count() -> None:
    assert parse_expression("'" + "(" * 100 + "' ~ \"" + "[" * 100 + '"').evaluate({}) == "(" * 100 + "[" * 100


def test_a_long_flat_expression_is_fine() -> None:
    assert parse_expression("[" + "1, " * 3000 + "]").evaluate({}) == [1] * 3000
    assert parse_expression(" ~ ".join(["'a'"] * 1500)).evaluate({}) == "a" * 1500
    assert parse_expression("+".join(["1"] * 80)).evaluate({}) == 80


def test_the_work_budget_is_of_one_evaluation() -> None:
    template = parse_expression("range(90000) | map('string') | list | length")
    assert [template.evaluate({}) for _ in range(5)] == [90000] * 5
    assert limits.work.left == limits.MAX_WORK


def test_a_deeply_nested_input_is_an_error_when_it_is_walked_and_none_when_it_is_handed_on() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    assert parse_value("${{ x }}").evaluate({"x": deep}) is deep
    with pytest.raises(ExpressionError, match="nested"):
        parse_value("a ${{ x }}").evaluate({"x": deep})
    with pytest.raises(ExpressionError, match="nested"):
        parse_value("${{ x == y }}").evaluate({"x": deep, "y": [deep]})


def test_an_unhashable_or_odd_key_is_an_error_or_undefined_never_a_crash() -> None:
    assert "cannot look up a list in x" in fails("x[[1]]")
    assert "cannot look up null in x" in fails("x[none]")
    assert "x has no" in fails("x[1.5]")
    assert parse_expression("[1] in x or {} in x or 1 in x").evaluate(SCOPE) is False


def test_results_are_json_through_and_through() -> None:
    assert parse_expression("(1, (2, 3))").evaluate({}) == [1, [2, 3]]
    assert parse_expression("{'a': 1} | items").evaluate({}) == [["a", 1]]
    assert type(parse_expression("xs | map('string')").evaluate(SCOPE)) is list
    assert type(parse_expression("range(3)").evaluate(SCOPE)) is list


def test_the_hot_path_needs_no_jinja() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from agentctl.expressions.template import Template\n"
        "t = Template(['+', ['path', 0, 'index'], ['lit', 1]], '')\n"
        "assert t.evaluate({'index': 1}) == 2\n"
        "assert Template(['filter', 'upper', ['lit', 'a'], [], {}]).evaluate({}) == 'A'\n"
        "import agentctl.expressions.parse\n"
        "print([m for m in ('jinja2', 'hashlib', 'difflib', 'asyncio', 'urllib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SIGNS = [*list("()[]{},:.|~+-*/%<$"), "//", "**", "==", "}}", "${{", "attribute="]
WORDS = [
    "in",
    "not",
    "and",
    "or",
    "if",
    "else",
    "is",
    "a",
    "x",
    "s",
    "xs",
    "n",
    "big",
    "event",
    "1",
    "2.5",
    "'q'",
    "none",
    "true",
]
NAMES = ["range", "default", "first", "map", "select", "sort", "join", "tojson", "format", "items", "defined"]
TOKENS = st.sampled_from(SIGNS) | st.sampled_from(WORDS) | st.sampled_from(NAMES)


@settings(max_examples=400, deadline=None)
@given(st.lists(TOKENS, max_size=14).map(" ".join), st.booleans())
def test_any_sequence_of_tokens_gives_json_or_one_error(source: str, wrapped: bool) -> None:
    try:
        result = parse_value("${{ " + source + " }}").evaluate(SCOPE) if wrapped else parse_expression(source).evaluate(SCOPE)
    except ExpressionError as error:
        assert error.message  # noqa: PT017  # the other half of the property
        return
    assert json.loads(json.dumps(result, allow_nan=False)) == result


VALUES = st.sampled_from(
    ["n", "s", "xs", "x", "event", "none", "true", "1.5", "[]", "''", "[x, x]", "[[1, 2]]", "'a b'", "-1", "{'a': 1}", "10 ** 30"]
)


@settings(max_examples=400, deadline=None)
@given(VALUES, st.sampled_from(sorted(FILTERS)), st.lists(VALUES, max_size=3).map(", ".join))
def test_any_filter_on_any_value_with_any_arguments_gives_json_or_one_error(value: str, name: str, arguments: str) -> None:
    try:
        result = parse_expression(f"({value}) | {name}({arguments})").evaluate(SCOPE)
    except ExpressionError as error:
        assert error.message  # noqa: PT017  # the other half of the property
        return
    assert json.loads(json.dumps(result, allow_nan=False)) == result
