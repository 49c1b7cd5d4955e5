"""Secrets travel as references: an expression can insert one, and learn nothing of it."""

from typing import Any

import pytest

from agentctl.errors import ExpressionError
from agentctl.expressions.parse import parse_value
from agentctl.expressions.values import Ref, SecretNames, SecretText, extract_secrets, insert_secrets

SCOPE = {"secrets": SecretNames({"TOKEN", "KEY"}), "x": "text", "items": [1, 2]}


def value(text: Any) -> Any:
    return parse_value(text).evaluate(SCOPE)


def test_a_secret_is_inserted_as_a_reference_whole_or_in_text() -> None:
    assert value("${{ secrets.TOKEN }}") == SecretText((Ref("TOKEN"),))
    assert value("Bearer ${{ secrets['TOKEN'] }}/${{ x }}") == SecretText(("Bearer ", Ref("TOKEN"), "/", "text"))


def test_extracted_secrets_are_readable_and_can_be_put_back() -> None:
    template = {"headers": {"Authorization": "Bearer ${{ secrets.TOKEN }}"}, "list": [1, "${{ secrets.KEY }}"], "x": "${{ x }}"}
    evaluated = value(template)
    json_value, secrets = extract_secrets(evaluated)
    assert json_value == {
        "headers": {"Authorization": "Bearer ${{ secrets.TOKEN }}"},
        "list": [1, "${{ secrets.KEY }}"],
        "x": "text",
    }
    assert secrets == [
        [["headers", "Authorization"], ["Bearer ", {"secret": "TOKEN"}]],
        [["list", 1], [{"secret": "KEY"}]],
    ]
    inserted = insert_secrets(json_value, secrets, {"TOKEN": "t0p", "KEY": "k"}.__getitem__)
    assert inserted == {"headers": {"Authorization": "Bearer t0p"}, "list": [1, "k"], "x": "text"}
    assert json_value["list"][1] == "${{ secrets.KEY }}"  # the journalled value is not touched


def test_a_value_that_is_wholly_a_secret_can_be_extracted_and_put_back() -> None:
    json_value, secrets = extract_secrets(value("${{ secrets.KEY }}"))
    assert json_value == "${{ secrets.KEY }}"
    assert insert_secrets(json_value, secrets, lambda name: f"<{name}>") == "<KEY>"


def test_whether_a_secret_exists_may_be_asked_and_a_default_given() -> None:
    assert value("${{ secrets.TOKEN is defined }}") is True
    assert value("${{ secrets.OTHER is defined }}") is False
    assert value("${{ secrets.OTHER | default(x) }}") == "text"
    assert value("${{ secrets.KEY | default('') }}") == SecretText((Ref("KEY"),))
    assert value("${{ {'auth': [secrets.KEY]} }}") == {"auth": [SecretText((Ref("KEY"),))]}
    assert value("${{ secrets.KEY if items else x }}") == SecretText((Ref("KEY"),))


@pytest.mark.parametrize(
    "expression",
    [
        "secrets.KEY | length",
        "secrets.KEY | upper",
        "secrets.KEY | sha256",
        "secrets.KEY | default('', true)",
        "x | replace('t', secrets.KEY)",
        "[secrets.KEY] | join(',')",
        "[secrets.KEY] | tojson",
        "[secrets.KEY] | string",
        "[{'k': secrets.KEY}] | map(attribute='k')",
        "[{'k': secrets.KEY}] | selectattr('k', '==', 'a')",
        "[secrets.KEY] | map('upper')",
        "[secrets.KEY] | select",
        "[secrets.KEY, 'a'] | sort",
        "[secrets.KEY] | unique",
        "secrets.KEY == 'a'",
        "[secrets.KEY] == ['a']",
        "secrets.KEY < 'a'",
        "'a' in secrets.KEY",
        "secrets.KEY in ['a']",
        "secrets.KEY + 'a'",
        "secrets.KEY ~ 'a'",
        "secrets.KEY * 2",
        "secrets.KEY[0]",
        "secrets.KEY[0:1]",
        "secrets.KEY.x",
        "items[secrets.KEY]",
        "not secrets.KEY",
        "secrets.KEY and 1",
        "1 if secrets.KEY else 2",
        "secrets.KEY is string",
        "x is eq(secrets.KEY)",
        "-secrets.KEY",
        "range(secrets.KEY)",
        "{secrets.KEY: 1}",
    ],
)
def test_nothing_else_can_be_done_with_a_secret(expression: str) -> None:
    with pytest.raises(ExpressionError, match="secret"):
        value("${{ " + expression + " }}")


def test_a_list_that_holds_a_secret_cannot_become_text() -> None:
    with pytest.raises(ExpressionError, match="a secret can only be inserted"):
        value("x ${{ [secrets.KEY] }}")


def test_the_namespace_of_secrets_is_no_value() -> None:
    for expression in ("secrets", "secrets | tojson", "[secrets]"):
        with pytest.raises(ExpressionError, match="name one of them"):
            value("${{ " + expression + " }}")


def test_an_unknown_secret_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ExpressionError, match="secrets has no 'TOKN'; did you mean 'TOKEN'"):
        value("${{ secrets.TOKN }}")
