"""`llm`: one call of a model."""

from __future__ import annotations

from agentctl.spec.types import ActionSpec, ErrorType

ERRORS = (
    ErrorType("llm.rate_limit", retryable=True),
    ErrorType("llm.unavailable", retryable=True),
    ErrorType("llm.invalid_output", retryable=True),
    ErrorType("llm.cut", retryable=True),
    ErrorType("llm.auth"),
    ErrorType("llm.bad_request"),
    ErrorType("llm.refused"),
    ErrorType("llm.context"),
    ErrorType("budget.exceeded"),
)

LLM = ActionSpec(
    name="llm",
    schema={
        "title": "llm",
        "type": "object",
        "additionalProperties": False,
        "x-one": "prompt",
        "description": "One call of a model.",
        "oneOf": [{"required": ["prompt"]}, {"required": ["messages"]}],
        "properties": {
            "prompt": {"type": "string", "minLength": 1, "description": "What to ask."},
            "messages": {
                "type": ["array", "string"],
                "description": "A conversation, instead of prompt.",
                "x-expected": "a list of {role, content}, or an expression that gives one",
                "items": {
                    "title": "a message",
                    "type": ["object", "string"],
                    "if": {"type": "object"},
                    "then": {
                        "title": "a message",
                        "required": ["role", "content"],
                        "properties": {
                            "role": {"type": "string", "description": "system, user or assistant."},
                            "content": {"description": "What it says."},
                        },
                    },
                },
            },
            "system": {"type": "string", "description": "The system prompt."},
            "model": {
                "type": "string",
                "minLength": 1,
                "description": "A litellm name, or an alias of the project file. Default: default.",
            },
            "schema": {"$ref": "#/$defs/outputSchema"},
            "temperature": {
                "type": ["number", "string"],
                "minimum": 0,
                "maximum": 2,
                "description": "How varied the answers are.",
            },
            "max_tokens": {"type": ["integer", "string"], "minimum": 1, "description": "The longest answer."},
            "fallback_models": {"$ref": "#/$defs/strings", "description": "Models to ask when this one is not available."},
        },
    },
    secrets=frozenset({"llm"}),
    implementation="agentctl.actions.llm:make",
    is_mockable=True,
    can_be_allowed=True,
    errors=ERRORS,
)
