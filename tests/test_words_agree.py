"""Schema, code and docs say the same: keys and what they become, defaults, actions, error types, statuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from agentctl import model, spec
from agentctl.actions import registry
from agentctl.actions.history import LIMIT, query
from agentctl.actions.http import MAX_BYTES
from agentctl.core import lifecycle
from agentctl.expressions.duration import parse_duration
from agentctl.language.schema import schema
from agentctl.language.sizes import parse_size
from agentctl.language.vocabulary import ALWAYS, ELSEWHERE, FLOW
from agentctl.ports import RunStatus
from agentctl.spec.catalog import BUILT_IN as ACTIONS
from agentctl.triggers.schedule import Schedule

REPOSITORY = Path(__file__).resolve().parent.parent
LANGUAGE = (REPOSITORY / "docs" / "language.md").read_text(encoding="utf-8")
DEFINITIONS: dict[str, Any] = schema()["$defs"]
STEP = DEFINITIONS["step"]["properties"]
NOT_YET = {name for name, action in ACTIONS.items() if not action.is_supported}

# The mappings of the schema that have a type of their own: what it calls some of the keys otherwise.
BUILT: list[tuple[dict[str, Any], type, dict[str, str]]] = [
    (DEFINITIONS["retry"]["then"]["properties"], model.Retry, {}),
    (DEFINITIONS["budget"]["properties"], model.Budget, {}),
    (STEP["cache"]["properties"], model.Cache, {}),
    (DEFINITIONS["repeat"]["properties"], model.Repeat, {"while": "condition"}),
    (DEFINITIONS["wait"]["then"]["properties"], model.Wait, {"if": "condition"}),
    (DEFINITIONS["approve"]["then"]["properties"], model.Approve, {}),
    (STEP, model.Step, {"if": "condition"}),
    (DEFINITIONS["trigger"]["properties"], Schedule, {"max": "limit"}),
    (DEFINITIONS["trigger"]["properties"]["dst"]["properties"], Schedule, {}),
    (DEFINITIONS["agent"]["properties"], model.Agent, {}),
    ({key: STEP[key] for key in ("as", "max_parallel", "output")}, model.Foreach, {"as": "item_name"}),
    (schema()["properties"], model.Definition, {}),
]
# Keys that are told in a type's `params`, or that other types and rooms have.
ELSEWHERE_IN_CODE = {
    model.Step: {*ACTIONS, "parse", "env", "stdin", "cwd", "max_output", "with", "detach", "as", "max_parallel", "output"},
    model.Agent: {
        "goal", "system", "model", "fallback_models", "max_tokens", "temperature", "schema", "tools", "observation", "compact",
    },
    model.Definition: {"loop", "skill", "defaults", *FLOW},
    Schedule: {"cron", "every", "event", "webhook", "file", "dst", "if", "input", "secret", "scheme", "on"},
}
ERRORS = re.compile(
    r"(?:(?:shell|python|http|llm|agent|budget|approval|wait|repeat|skill|tool|output|input|permission|step)\.[a-z_]+|event\.too_deep)"
)
PLAIN_ERRORS = re.compile(r'Error\((?:type=)?"([a-z]+)"')  # of one word, as in ActionError("timeout", ...)
ERROR_TABLE = LANGUAGE.split("| type | when | retried |")[1].split("\n\n")[0].splitlines()[2:]


def default_of(node: dict[str, Any]) -> str | None:
    """What the schema's description says is the default, if it is one word."""
    found = re.search(r"Default: ([^ ,]+?)(?:, [^.]*)?\.?$", node.get("description", ""))
    return found[1] if found else None


def read(text: str, like: Any) -> Any:
    """A default as it is told, as a value of the type of `like`."""
    if isinstance(like, bool):
        return text == "true"
    if isinstance(like, float):
        return float(text) if re.fullmatch(r"[\d.]+", text) else parse_duration(text)
    return int(text) if isinstance(like, int) else text


def first_words(table: str) -> set[str]:
    """The words in code in the first column of a table's rows."""
    return {word for row in table.splitlines()[2:] for word in re.findall(r"`(\w+)(?:\.ID)?`", row.split("|")[1])}


@pytest.mark.parametrize(("keys", "made", "renamed"), BUILT, ids=lambda value: getattr(value, "__name__", ""))
def test_every_key_becomes_a_field_with_the_default_that_is_told(keys, made, renamed):
    fields = {field.encode_name: field for field in msgspec.structs.fields(made)}
    elsewhere = ELSEWHERE_IN_CODE.get(made, set())
    assert {renamed.get(key, key) for key in keys if key not in elsewhere} <= set(fields)
    for key, node in keys.items():
        told = default_of(node)
        field = fields.get(renamed.get(key, key)) if key not in elsewhere or made is model.Foreach else None
        if told is None or field is None or field.default is None or field.default is msgspec.NODEFAULT:
            continue
        if isinstance(field.default, str | int | float):
            assert read(told, field.default) == field.default, key


def test_the_defaults_of_actions_are_those_that_are_told():
    assert int(default_of(DEFINITIONS["history"]["properties"]["limit"]) or 0) == LIMIT == query({"of": "x"}, 0.0).limit
    assert parse_size(default_of(DEFINITIONS["http"]["properties"]["max_bytes"])) == MAX_BYTES
    assert f"`limit` ({LIMIT})" in LANGUAGE


def test_every_action_of_the_schema_is_performed_is_the_interpreters_or_is_refused():
    kinds = {tag.lower() for tag in (kind.__struct_config__.tag for kind in get_args(model.Action))}
    of_the_core = kinds - {"task", "group", "turn"} | {"steps"}  # `steps` makes a group; a task is what the registry performs
    offered = {choice["required"][0] for choice in DEFINITIONS["step"]["oneOf"]}
    performed = set(registry.build())
    assert offered == set(ACTIONS) == performed | of_the_core | NOT_YET
    assert not performed & of_the_core


def test_every_action_that_runs_is_told_in_the_docs():
    table = LANGUAGE.split("| action | what it does | output |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+):", table, re.MULTILINE)) == set(ACTIONS) - NOT_YET


def test_every_error_type_of_the_code_is_told_in_the_docs_and_no_other():
    text = "".join(
        file.read_text(encoding="utf-8")
        for room in ("actions", "core", "engine", "performing")
        for file in REPOSITORY.glob(f"agentctl/{room}/**/*.py")
    )
    raised = set(re.findall(rf'"({ERRORS.pattern})"', text)) | set(PLAIN_ERRORS.findall(text))
    raised |= {"http.status"} if 'f"http.status.{' in text else set()
    raised |= {"failed"}  # of a `fail` that gives no type
    in_table = {word for row in ERROR_TABLE for word in re.findall(r"`([a-z_.]+?)(?:\.NNN)?`", row.split("|")[1])}
    assert raised == {word for word in in_table if not word.startswith("data.")}
    named = {word for word in re.findall(r"`([a-z_.]+?)(?:\.NNN)?`", LANGUAGE) if ERRORS.fullmatch(word)}
    assert named <= raised


def test_the_table_of_errors_has_the_types_of_the_specs():
    in_table = {word for row in ERROR_TABLE for word in re.findall(r"`([a-z_.]+?)(?:\.NNN)?`", row.split("|")[1])}
    specified = {re.sub(r"\.(\*|\d.*)$", "", name) for name in spec.error_types()}
    assert {word for word in in_table if not word.startswith("data.")} - specified == set()
    of_agents = {name for name in specified if name.startswith("agent.")}
    assert specified - of_agents <= in_table


def test_the_table_of_errors_says_what_is_retried():
    yes = {
        word.replace(".NNN", "")
        for row in ERROR_TABLE
        if row.split("|")[3].strip().startswith("yes")
        for word in re.findall(r"`([a-z_.]+(?:\.NNN)?)`", row.split("|")[1])
    }
    retryable = {name for name, error in spec.error_types().items() if error.retryable}
    assert yes == {re.sub(r"(http\.status)\..*", r"\1", pattern) for pattern in retryable}
    refused = {pattern[-3:] for pattern in retryable if pattern.startswith("http.status.4")}
    assert set(re.findall(r"\b4\d\d\b", "".join(ERROR_TABLE))) == refused


def test_the_statuses_that_the_docs_name_are_those_that_there_are():
    reached = {target for row in lifecycle.STEP.values() for target in row.values()}
    steps = (reached | set(lifecycle.STEP) | lifecycle.ENDED) - {"failing"}  # it lasts only inside one decision
    table = LANGUAGE.split("| status of a step | meaning |")[1].split("\n\n")[0]
    assert first_words(table) == steps
    table = LANGUAGE.split("| status of a run | meaning |")[1].split("\n\n")[0]
    assert first_words(table) == set(get_args(RunStatus))


def test_the_names_of_expressions_are_told():
    assert first_words(LANGUAGE.split("| name | holds |")[1].split("\n\n")[0]) == ALWAYS | set(ELSEWHERE)
