"""Actions on values and on the run itself: `set`, `remember`, `emit`, `history`, `fail`, `return`."""

from __future__ import annotations

from agentctl.spec.types import ActionSpec, ErrorType

SET = ActionSpec(
    name="set",
    schema={"title": "set", "type": "object", "minProperties": 1, "description": "The output is this mapping, evaluated."},
    implementation="agentctl.actions.set:make",
    is_instant=True,
    is_pure=True,
)

REMEMBER = ActionSpec(
    name="remember",
    schema={
        "title": "remember",
        "type": "object",
        "minProperties": 1,
        "description": "Sets durable values of this definition: state.KEY in later runs.",
    },
    implementation="agentctl.actions.remember:make",
    is_instant=True,
    is_pure=True,
)

EMIT = ActionSpec(
    name="emit",
    schema={
        "title": "emit",
        "type": "object",
        "required": ["event"],
        "additionalProperties": False,
        "description": "Sends an event.",
        "properties": {
            "event": {"type": "string", "minLength": 1, "description": "Its name."},
            "data": {"description": "What it carries."},
            "id": {"type": "string", "description": "An event whose id was seen before is dropped."},
        },
    },
    implementation="agentctl.actions.emit:make",
    is_instant=True,
    is_pure=True,
    errors=(ErrorType("event.too_deep"),),
)

HISTORY = ActionSpec(
    name="history",
    schema={
        "title": "history",
        "type": "object",
        "required": ["of"],
        "additionalProperties": False,
        "description": "The runs of a definition, for loops that review other loops.",
        "properties": {
            "of": {"type": "string", "description": "The name of the definition."},
            "since": {"$ref": "#/$defs/durationOrExpression", "description": "How far back."},
            "status": {"$ref": "#/$defs/strings", "description": "Only runs of these statuses."},
            "limit": {"type": "integer", "minimum": 1, "description": "At most so many. Default: 500."},
        },
    },
    implementation="agentctl.actions.history:make",
    is_mockable=True,
)

FAIL = ActionSpec(
    name="fail",
    schema={
        "type": ["string", "object"],
        "description": "Ends the run with an error: a message, or {type, message, data}.",
        "x-expected": "a message, or a mapping of type, message and data",
        "if": {"type": "object"},
        "then": {
            "title": "fail",
            "required": ["message"],
            "additionalProperties": False,
            "properties": {
                "type": {"type": "string", "description": "The error's type. Default: failed."},
                "message": {"type": "string", "description": "What happened."},
                "data": {"description": "Details."},
            },
        },
    },
    performer="interpreter",
    errors=(ErrorType("failed"),),
)

RETURN = ActionSpec(
    name="return",
    schema={"description": "Ends the run well with this value; in a handler, just the handler."},
    performer="interpreter",
)
