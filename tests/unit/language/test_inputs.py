"""`-i k=v` and documents, read by the declared schema."""

from __future__ import annotations

from typing import Any

import pytest

from agentctl.errors import InputInvalid
from agentctl.language.inputs import check_inputs, read_inputs
from agentctl.model import Definition, Input


def definition(**inputs: Any) -> Definition:
    declared = {name: Input(schema, "default" in schema, schema.get("default")) for name, schema in inputs.items()}
    return Definition(kind="loop", name="x", steps=(), input=declared)


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "012", "012"),
        ({"type": "string"}, "a=b", "a=b"),
        ({"type": "string"}, "", ""),
        ({"type": "integer"}, "-12", -12),
        ({"type": "integer"}, "1e3", 1000),
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "boolean"}, "true", True),
        ({"type": "null"}, "null", None),
        ({"type": "array"}, "[1, 2]", [1, 2]),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "integer"]}, "12", 12),
        ({"type": ["string", "integer"]}, "012", "012"),
        ({}, "[1]", [1]),
        ({}, "plain", "plain"),
        ({}, "NaN", "NaN"),
    ],
)
def test_a_text_is_read_by_the_declared_type(schema: dict[str, Any], text: str, value: Any) -> None:
    found = read_inputs(definition(n=schema), [f"n={text}"])["n"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"type": "integer"}, "012", "a whole number"),
        ({"type": "integer"}, "1.5", "a whole number"),
        ({"type": "integer"}, "+1", "a whole number"),
        ({"type": "integer"}, " 1", "a whole number"),
        ({"type": "number"}, "1_000", "a number"),
        ({"type": "number"}, "NaN", "a number"),
        ({"type": "number"}, "1e999", "a number"),
        ({"type": "boolean"}, "yes", "true or false"),
        ({"type": "array"}, "a,b", "a list in JSON"),
        ({"type": "object"}, "[]", "a mapping in JSON"),
        ({"type": "string", "enum": ["low", "high"]}, "hgh", "did you mean 'high'"),
        ({"type": "integer", "minimum": 3}, "2", "minimum"),
    ],
)
def test_a_text_that_does_not_fit_names_the_input_and_what_was_expected(schema: dict[str, Any], text: str, expected: str) -> None:
    with pytest.raises(InputInvalid, match=r"input 'n'") as raised:
        read_inputs(definition(n=schema), [f"n={text}"])
    assert expected in str(raised.value)


def test_defaults_are_filled_in_and_texts_win_over_the_document() -> None:
    declared = definition(a={"default": 1}, b={"type": "string"}, c={"type": "string"})
    assert read_inputs(declared, ["b=text"], {"b": "document", "c": "kept"}) == {"a": 1, "b": "text", "c": "kept"}


def test_a_missing_input_is_named() -> None:
    with pytest.raises(InputInvalid, match="loop 'x' needs the input 'host' \\(a text\\)"):
        read_inputs(definition(host={"type": "string"}), [])


def test_an_unknown_input_gets_the_nearest_name() -> None:
    with pytest.raises(InputInvalid, match="has no input 'servise'; did you mean 'service'"):
        read_inputs(definition(service={}), ["servise=a"])


def test_a_definition_without_input_takes_none() -> None:
    with pytest.raises(InputInvalid, match="takes no input, but 'a' was given"):
        read_inputs(definition(), ["a=1"])


@pytest.mark.parametrize("pair", ["host", "=1", ""])
def test_an_input_without_an_equals_sign_is_told_the_form(pair: str) -> None:
    with pytest.raises(InputInvalid, match="NAME=VALUE"):
        read_inputs(definition(host={}), [pair])


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, True),
        ({"type": "string"}, 5),
        ({"type": "array", "items": {"type": "string"}}, [1]),
        ({"enum": [1]}, True),
        ({"$ref": "https://127.0.0.1:9/x"}, 1),
        (False, 1),
    ],
)
def test_a_given_value_has_to_fit_its_schema(schema: Any, value: Any) -> None:
    declared = Definition(kind="skill", name="x", steps=(), input={"n": Input(schema)})
    with pytest.raises(InputInvalid, match="input 'n'"):
        check_inputs(declared, {"n": value})


def test_a_number_without_a_fraction_is_an_integer() -> None:
    assert check_inputs(definition(n={"type": "integer"}), {"n": 2.0}) == {"n": 2.0}
