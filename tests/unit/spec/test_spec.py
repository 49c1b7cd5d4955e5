from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from agentctl import spec
from agentctl.core.retry import is_retryable
from agentctl.language.schema import schema
from agentctl.model import Retry
from agentctl.spec.catalog import BUILT_IN, BUILT_IN_TRIGGERS

DEFINITIONS: dict[str, Any] = schema()["$defs"]


@pytest.mark.parametrize("found", BUILT_IN.values(), ids=lambda found: found.name)
def test_an_action_is_in_the_schema_as_its_spec_describes_it(found):
    properties = DEFINITIONS["step"]["properties"]
    for key, node in {found.name: found.schema, **found.beside}.items():
        assert properties[key] == node or DEFINITIONS[key] == node, key
    assert {name: DEFINITIONS[name] for name in found.definitions} == found.definitions
    needed = DEFINITIONS["step"]["dependentRequired"]
    assert found.needs == tuple(needed.get(found.name, ()))


@pytest.mark.parametrize("found", BUILT_IN_TRIGGERS.values(), ids=lambda found: found.name)
def test_a_trigger_is_in_the_schema_as_its_spec_describes_it(found):
    properties = DEFINITIONS["trigger"]["properties"]
    assert properties[found.name] == found.schema
    assert {key: properties[key] for key in found.keys} == found.keys
    [allowed] = [
        choice["then"]["propertyNames"]["enum"]
        for choice in DEFINITIONS["trigger"]["allOf"]
        if choice["if"]["required"] == [found.name]
    ]
    assert set(allowed) == {found.name, *found.keys, *(("if", "input") if found.has_event else ())}


@pytest.mark.parametrize("found", BUILT_IN_TRIGGERS.values(), ids=lambda found: found.name)
def test_the_settings_of_a_trigger_are_its_keys_with_their_defaults(found):
    fields = {field.name: field for field in msgspec.structs.fields(found.settings)}
    assert set(fields) == set(found.keys)
    for key, node in found.keys.items():
        told = re.search(r"Default: ([^ ,.]+)", node["description"])
        if told and key != "timezone":  # the project's, which a spec does not know
            assert str(fields[key].default) == told[1]


def test_every_performed_action_names_what_performs_it_and_no_other_does():
    for found in BUILT_IN.values():
        assert bool(found.implementation) == (found.performer == "engine" and found.is_supported), found.name


def test_an_action_is_either_mocked_or_pure_or_the_interpreters():
    for found in BUILT_IN.values():
        assert not (found.is_pure and (found.is_mockable or found.can_be_allowed)), found.name
        assert found.is_mockable or not found.can_be_allowed, found.name


def test_of_several_names_that_fit_an_error_the_most_specific_counts():
    retry = Retry(attempts=2)
    assert [name for name in ("400", "408", "425", "429", "500", "599") if is_retryable(f"http.status.{name}", retry)] == [
        "408", "425", "429", "500", "599",
    ]  # fmt: skip
    assert spec.error_type("nobody.knows") is None
    assert not is_retryable("nobody.knows", retry)
