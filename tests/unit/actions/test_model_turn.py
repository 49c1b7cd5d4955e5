"""One request of an agent: how a model's answer is read, what is marked for a provider's cache, what a schema looks like."""

from __future__ import annotations

import pytest

from agentctl.actions.model_turn import _arguments_of, _id, _marked, _tool


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ('{"n": 1}', {"n": 1}),
        ({"n": 1}, {"n": 1}),
        ("", {}),
        ("  ", {}),
        (None, {}),
        ("[1]", "[1]"),
        ('{"n": ', '{"n": '),
        ('{"n": NaN}', '{"n": NaN}'),
        ("null", "null"),
        ('"text"', '"text"'),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
    ],
)
def test_arguments_are_a_json_object_or_stay_as_they_came(given, read):
    assert _arguments_of(given) == read


@pytest.mark.parametrize(
    ("given", "id"),
    [
        ("call_x", "call_x"),
        ("used", "own"),
        (None, "own"),
        ("", "own"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "own"),
        ("1b18218b-d96a-4a2b-817a-e2032238867b", "own"),
        (7, "own"),
    ],
)
def test_an_id_is_the_providers_unless_it_cannot_be_used(given, id):
    assert _id(given, {"used"}, "own") == id


def test_an_own_id_that_is_taken_becomes_another():
    assert _id(None, {"call_1_0", "call_1_0_"}, "call_1_0") == "call_1_0__"


def test_marks_stand_on_the_system_message_and_on_the_last_message_alone():
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "g"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "tool_call_id": "a", "content": "r"},
    ]
    marked = _marked(messages)
    assert marked[0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert marked[1:3] == messages[1:3]
    assert marked[3] == {**messages[3], "cache_control": {"type": "ephemeral"}}
    assert "cache_control" not in str(messages)


def test_the_keys_of_a_schema_are_sorted_whatever_order_they_were_written_in():
    first = _tool({"name": "x", "description": "d", "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}})
    second = _tool({"name": "x", "description": "d", "parameters": {"properties": {"a": {}, "b": {}}, "type": "object"}})
    assert str(first) == str(second)
    assert "description" not in _tool({"name": "x", "description": "", "parameters": {}})["function"]
