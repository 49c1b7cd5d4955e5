"""What expressions evaluate to, and what they say when they cannot."""

from typing import Any

import msgspec
import pytest

from agentctl.errors import ExpressionError
from agentctl.expressions.parse import parse_expression, parse_value
from agentctl.expressions.template import Template
from agentctl.expressions.values import Lookup, SecretNames

SCOPE: dict[str, Any] = {
    "steps": {"triage": {"output": {"level": 3, "tags": ["a", "b"], "name": "disk"}, "error": None}},
    "input": {"service": "all", "n": 4, "odd key": 1},
    "items": [1, 2, 3],
    "index": 2,
    "users": [{"name": "Zoe", "age": 3, "at": {"x": 1}}, {"name": "adam", "age": 5, "at": {"x": 2}}],
}


def value(text: Any, scope: Any = SCOPE) -> Any:
    return parse_value(text).evaluate(scope)


def test_a_value_that_is_wholly_one_expression_keeps_its_type() -> None:
    assert value("${{ steps.triage.output }}") == {"level": 3, "tags": ["a", "b"], "name": "disk"}
    assert value("${{index + 1}}") == 3
    assert value("${{ steps.triage.error }}") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("level ${{ steps.triage.output.level }}!", "level 3!"),
        ("${{ steps.triage.output.name }}:${{ items }}", "disk:[1,2,3]"),
        ("${{ steps.triage.error }} ${{ index == 2 }}", "null true"),
        (" ${{ index }}", " 2"),
        ("${{ {'ü': [1, none]} }} ", '{"ü":[1,null]} '),
        ("$${{ index }} is ${{ index }}", "${{ index }} is 2"),
        ("$${{ index }}", "${{ index }}"),
        ("costs $5 and $$6 {{ x }}", "costs $5 and $$6 {{ x }}"),
        ("${{ '}}' }}", "}}"),
        ("a${{ {'a': {'b': '}}'}} }}", 'a{"a":{"b":"}}"}}'),
        ("""${{ "it's }}" ~ 'say "}}"' }}.""", """it's }}say "}}"."""),
        ("${{ 'a\\'}}' }}", "a'}}"),
    ],
)
def test_text_around_an_expression_is_kept_and_values_become_text(text: str, expected: str) -> None:
    assert value(text) == expected


def test_a_whole_mapping_is_one_template() -> None:
    template = parse_value({"a": "${{ index }}", "b": [1, "x${{ index }}"], "c": "d"})
    assert template.evaluate(SCOPE) == {"a": 2, "b": [1, "x2"], "c": "d"}
    assert not template.is_literal


def test_a_value_without_expressions_is_one_literal() -> None:
    template = parse_value({"a": [1, {"b": None}], "c": "text"})
    assert template.tree == ["lit", {"a": [1, {"b": None}], "c": "text"}]
    assert template.is_literal


def test_a_template_survives_being_stored() -> None:
    template = parse_value({"a": "${{ users | map(attribute='age') | sum(start=1) }}", "big": 2**70})
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(template), type=Template)
    assert again.evaluate(SCOPE) == template.evaluate(SCOPE) == {"a": 9, "big": 2**70}


def test_a_bare_expression_may_be_wrapped_but_not_mixed_with_text() -> None:
    assert parse_expression("index > 1").evaluate(SCOPE) is True
    assert parse_expression(" ${{ index > 1 }} ").evaluate(SCOPE) is True
    assert parse_expression(True).evaluate(SCOPE) is True
    for mixed in ("${{ a }} and b", "${{ a }} ${{ b }}"):
        with pytest.raises(ExpressionError, match="one expression"):
            parse_expression(mixed)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("steps.triage.outptu", "steps.triage has no 'outptu'; did you mean 'output'?"),
        ("stepz.triage", "'stepz' is not defined; did you mean 'steps'?"),
        ("xyzzy", "'xyzzy' is not defined"),
        ("items[7]", "items has no index 7; it has 3 items"),
        ("items.first", "items is a list; it has no 'first'"),
        ("steps.triage.error.message", "steps.triage.error is null; it has no 'message'"),
        ("steps.triage.output.level.x", "steps.triage.output.level is a number; it has no 'x'"),
        ("input['odd kex']", "input has no 'odd kex'; did you mean 'odd key'?"),
        ("input[input.service]", "input has no 'all'"),
        ("steps[items]", "cannot look up a list in steps"),
        ("1 + 'a'", "cannot add a number and a string"),
        ("items + {}", "cannot add a list and a mapping"),
        ("none * 2", "cannot multiply null by a number"),
        ("'a' - 1", "cannot subtract a number from a string"),
        ("index < 'a'", "cannot compare a number with a string (`<`)"),
        ("1 in 5", "cannot look for a number in a number"),
        ("1 in 'abc'", "cannot look for a number in a string"),
        ("-'a'", "cannot negate a string"),
        ("1 / 0", "division by zero"),
        ("1 if false", "the condition of `if` is false and there is no `else`"),
        ("index[1:]", "cannot slice a number"),
        ("'%s' % 1", "`%` works on numbers; to format a string, use the filter `format`"),
        ("(-8) ** 0.5", "the result is not a finite real number"),
        ("1e308 * 10", "the result is not a finite real number"),
        ("10.0 ** 400", "the number is too large"),
        ("5 | join", "filter 'join': expected a list, not a number"),
        ("'x' | round", "filter 'round': expected a number, not a string"),
        ("'x' | center('y')", "filter 'center' cannot be applied to a string, a string"),
        ("[1, 'a'] | sort", "filter 'sort': the items cannot be compared with each other"),
        ("users | map(attribute='nmae') | list", "an item has no 'nmae'; did you mean 'name'?"),
        ("[] | first", "filter 'first': there is no first item, it is empty"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_sentence(source: str, sentence: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(source).evaluate(SCOPE)
    assert str(caught.value) == sentence


def test_the_offset_of_an_undefined_name_counts_from_the_start_of_the_text() -> None:
    with pytest.raises(ExpressionError) as caught:
        value("see ${{ steps.triage.outptu }}")
    assert (caught.value.offset, caught.value.suggestion) == (8, "output")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a.b.c | default(1)", 1),
        ("steps.nope.output | default('x')", "x"),
        ("steps.triage.error.message | d('none')", "none"),
        ("steps.triage.output.level | default(0)", 3),
        ("steps.triage.error | default('x')", None),
        ("steps.triage.error | default('x', true)", "x"),
        ("steps.triage.error | default(default_value='x', boolean=true)", "x"),
        ("items[9].a[0] | default([])", []),
        ("items[9:] | default([1])", []),
        ("nope[1:] | default([1])", [1]),
        ("nope | default", ""),
        ("nope | default(nope2) | default(3)", 3),
        ("(1 if false) | default(2)", 2),
        ("[] | first | default(0)", 0),
        ("nope | last | default(0)", 0),
        ("nope.a is defined", False),
        ("nope.a is undefined", True),
        ("nope.a is not defined", True),
        ("index is defined and index > 1", True),
        ("users | map(attribute='nope') | default(7)", 7),
    ],
)
def test_default_and_is_defined_tolerate_what_is_missing_on_the_way(source: str, expected: Any) -> None:
    assert parse_expression(source).evaluate(SCOPE) == expected


@pytest.mark.parametrize(
    "source", ["(nope + 1) | default(2)", "items[nope] | default(2)", "items[nope:] | default(2)", "nope | upper | default(2)"]
)
def test_default_does_not_hide_a_mistake_beside_the_way(source: str) -> None:
    with pytest.raises(ExpressionError, match="'nope' is not defined"):
        parse_expression(source).evaluate(SCOPE)


class Steps(Lookup):
    def get(self, name: str) -> Any:
        return {"a": {"output": 1}}[name]

    def names(self) -> list[str]:
        return ["a"]

    def to_json(self) -> Any:
        return {"a": {"output": 1}}


def test_a_lazy_namespace_is_looked_into_like_a_mapping_and_becomes_json_as_a_value() -> None:
    scope = {"steps": Steps()}
    assert value("${{ steps.a.output }}", scope) == 1
    assert value("${{ steps['a'].output + 1 }}", scope) == 2
    assert value("${{ steps }}", scope) == {"a": {"output": 1}}
    assert value("${{ [steps] }} ${{ steps | length }}", scope) == '[{"a":{"output":1}}] 1'
    assert value("${{ 'a' in steps and 'b' not in steps }}", scope) is True
    assert value("${{ steps.b | default(0) }}", scope) == 0
    assert value("${{ steps == {'a': {'output': 1}} }}", scope) is True
    with pytest.raises(ExpressionError, match="steps has no 'b'"):
        value("${{ steps.b }}", scope)
    assert parse_expression("a.output").evaluate(Steps()) == 1


@pytest.mark.parametrize(
    ("source", "message", "offset"),
    [
        ("x ${{ a", "never closed", 2),
        ("x ${{ 'a }}", "has no end", 2),
        ("${{ }}", "found nothing", 3),
        ("${{ a b }}", "unexpected 'b' after the end", 6),
        ("xx ${{ a + }}", "the expression ends too soon", 10),
        ("${{ a # b }}", "unexpected char '#'", 6),
        ("${{ a | uper }}", "there is no filter 'uper'; did you mean 'upper'?", 8),
        ("${{ a is numbre }}", "there is no test 'numbre'; did you mean 'number'?", 6),
        ("${{ rang(3) }}", "`rang` cannot be called; the only function is range; did you mean 'range'?", 8),
        ("${{ a | map('uper') }}", "there is no filter 'uper'", 8),
        ("${{ a | select('numbre') }}", "there is no test 'numbre'", 8),
        ("${{ a | select(b) }}", "must be written out", 8),
        ("${{ a | replace('b') }}", "filter 'replace': missing a required argument: 'new'", 8),
        ("${{ a | upper(1) }}", "filter 'upper': too many positional arguments", 8),
        ("${{ a | random }}", "there is no filter 'random': an expression gives the same value", 8),
        ("${{ {1: 2} }}", "a key of a mapping must be a string", 5),
        ("${{ range() }}", "range takes one to three integers", 9),
    ],
)
def test_a_bad_source_is_refused_when_it_is_parsed_at_its_offset(source: str, message: str, offset: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_value(source)
    assert message in str(caught.value)
    assert caught.value.offset == offset


def test_a_key_of_a_mapping_may_hold_an_expression() -> None:
    value = parse_value({"a_${{ x }}": "${{ x }}", "${{ n }}": [{"$${{ b }}": 1, "c": {"${{ x }}": 2}}]})
    assert value.evaluate({"x": "y", "n": 3}) == {"a_y": "y", "3": [{"${{ b }}": 1, "c": {"y": 2}}]}


def test_two_keys_that_come_to_the_same_are_an_error() -> None:
    with pytest.raises(ExpressionError, match="two keys of the mapping are 'a'"):
        parse_value({"a": 1, "${{ x }}": 2}).evaluate({"x": "a"})


def test_a_secret_is_no_key() -> None:
    with pytest.raises(ExpressionError, match="a secret can only be inserted"):
        parse_value({"a${{ secrets.X }}": 1}).evaluate({"secrets": SecretNames({"X"})})
