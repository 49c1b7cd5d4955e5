"""Actions that hold other steps or wait for something: `skill`, `wait`, `approve`, `foreach`, `repeat`, `steps`."""

from __future__ import annotations

from typing import Any

from agentctl.spec.types import ActionSpec, ErrorType

_STEPS: dict[str, Any] = {
    "$ref": "#/$defs/steps",
    "description": "A group of steps as one unit, or the steps of a foreach or repeat.",
}
_OUTPUT: dict[str, Any] = {
    "description": "What a group, an item or an iteration gives. Default: the output of the last of `steps`.",
}
_WAIT_TIMEOUT = ErrorType("wait.timeout")

SKILL = ActionSpec(
    name="skill",
    schema={"$ref": "#/$defs/definitionName", "description": "The skill to run, as a run of its own."},
    beside={
        "with": {"title": "with", "type": "object", "description": "Arguments of the python function, or the skill's input."},
        "detach": {"type": "boolean", "description": "Do not wait for the skill; the output is {run_id}. Default: false."},
    },
    fixed=frozenset({"skill", "detach"}),
    performer="interpreter",
    is_mockable=True,
    errors=(ErrorType("skill.failed"), ErrorType("skill.not_found"), ErrorType("skill.too_deep")),
)

WAIT = ActionSpec(
    name="wait",
    schema={
        "type": ["string", "object"],
        "description": "A duration, or a mapping with until, event or run.",
        "x-expected": "a duration such as 2h, or a mapping with until, event or run",
        "if": {"type": "object"},
        "then": {
            "title": "wait",
            "x-one": "key",
            "not": {"type": "object", "required": ["until", "timeout"]},
            "oneOf": [{"required": ["until"]}, {"required": ["event"]}, {"required": ["run"]}],
            "additionalProperties": False,
            "properties": {
                "until": {
                    "type": ["string", "number"],
                    "format": "agentctl-time-or-expression",
                    "x-code": "bad-time",
                    "x-expected": "a time in RFC 3339, or an expression",
                    "description": "A time in RFC 3339.",
                },
                "event": {"type": "string", "minLength": 1, "description": "The name of an event; the output is the event."},
                "run": {"type": "string", "minLength": 1, "description": "The id of a run; the output is its output."},
                "if": {
                    "type": ["string", "boolean"],
                    "description": "An expression over the event offered.",
                    "x-expected": "an expression",
                },
                "timeout": {"$ref": "#/$defs/span", "description": "How long at most, for an event or a run."},
                "on_timeout": {"enum": ["fail", "continue"], "description": "What happens when the time is over. Default: fail."},
            },
            "dependentRequired": {"if": ["event"]},
        },
        "else": {"$ref": "#/$defs/durationOrExpression"},
    },
    fixed=frozenset({"timeout", "on_timeout"}),
    performer="interpreter",
    is_mockable=True,  # one that waits for a run
    errors=(_WAIT_TIMEOUT, ErrorType("skill.failed"), ErrorType("skill.not_found")),
)

APPROVE = ActionSpec(
    name="approve",
    schema={
        "type": ["string", "object"],
        "description": "Waits for a person: a message, or a mapping.",
        "x-expected": "a message, or a mapping with 'message'",
        "if": {"type": "object"},
        "then": {
            "title": "approve",
            "required": ["message"],
            "additionalProperties": False,
            "properties": {
                "message": {"type": "string", "minLength": 1, "description": "What is asked."},
                "show": {"description": "What is signed."},
                "timeout": {"$ref": "#/$defs/span", "description": "How long at most."},
                "on_timeout": {
                    "enum": ["fail", "reject", "approve"],
                    "description": "What happens when the time is over. Default: fail.",
                },
                "form": {
                    "title": "a form",
                    "type": "object",
                    "additionalProperties": {"$ref": "#/$defs/jsonSchema"},
                    "description": "Name -> JSON Schema of what the person fills in.",
                },
            },
        },
    },
    fixed=frozenset({"timeout", "on_timeout"}),
    performer="interpreter",
    errors=(ErrorType("approval.rejected"), ErrorType("approval.timeout")),
)

FOREACH = ActionSpec(
    name="foreach",
    schema={
        "type": ["string", "array"],
        "pattern": "\\$\\{\\{",
        "x-expected": "a list, or an expression ${{ ... }} that gives one",
        "description": "Runs `steps` for each item of a list.",
    },
    beside={
        "as": {"$ref": "#/$defs/stepId", "description": "What the item is called. Default: item."},
        "max_parallel": {"type": "integer", "minimum": 1, "description": "Items at once. Default: 1."},
        "steps": _STEPS,
        "output": _OUTPUT,
    },
    needs=("steps",),
    fixed=frozenset({"as", "max_parallel"}),
    performer="interpreter",
)

REPEAT = ActionSpec(
    name="repeat",
    schema={
        "title": "repeat",
        "type": "object",
        "additionalProperties": False,
        "x-one": "key",
        "oneOf": [{"required": ["until"]}, {"required": ["while"]}],
        "description": "Runs `steps` until or while an expression is true.",
        "properties": {
            "until": {
                "type": ["string", "boolean"],
                "description": "Looked at after each iteration.",
                "x-expected": "an expression",
            },
            "while": {
                "type": ["string", "boolean"],
                "description": "Looked at before each iteration.",
                "x-expected": "an expression",
            },
            "max": {"type": "integer", "minimum": 1, "description": "Iterations at most. Default: 10."},
            "every": {"$ref": "#/$defs/duration", "description": "The pause between iterations. Default: 0s."},
            "on_max": {"enum": ["fail", "continue"], "description": "What happens after the last iteration. Default: fail."},
        },
    },
    beside={"steps": _STEPS, "output": _OUTPUT},
    needs=("steps",),
    fixed=frozenset({"max", "every", "on_max"}),
    performer="interpreter",
    errors=(ErrorType("repeat.exhausted"),),
)

STEPS = ActionSpec(name="steps", schema=_STEPS, beside={"output": _OUTPUT}, performer="interpreter")
