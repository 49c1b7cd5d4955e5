"""`agent` and `publish`: a model in a loop with tools, and the skills that it writes."""

from __future__ import annotations

from agentctl.spec.llm import ERRORS
from agentctl.spec.types import ActionSpec

AGENT = ActionSpec(
    name="agent",
    schema={
        "title": "agent",
        "type": "object",
        "required": ["goal"],
        "additionalProperties": False,
        "description": "A model in a loop with tools, until it answers.",
        "properties": {
            "goal": {"type": "string", "minLength": 1, "description": "What to achieve."},
            "system": {"type": "string", "description": "The system prompt."},
            "model": {
                "type": "string",
                "minLength": 1,
                "description": "A litellm name, or an alias of the project file. Default: default.",
            },
            "tools": {"type": "array", "items": {"$ref": "#/$defs/tool"}, "description": "What it may use; nothing else."},
            "skills": {"$ref": "#/$defs/strings", "description": "Skills it may call."},
            "max_turns": {"type": "integer", "minimum": 1, "description": "Turns at most. Default: 20."},
            "schema": {"$ref": "#/$defs/outputSchema"},
            "stall": {
                "type": "integer",
                "minimum": 1,
                "description": "Fails after so many turns without anything new. Default: 3.",
            },
        },
    },
    definitions={
        "tool": {
            "title": "a tool",
            "type": "object",
            "additionalProperties": False,
            "x-one": "kind",
            "oneOf": [
                {"required": ["skill"]},
                {"required": ["shell"]},
                {"required": ["http"]},
                {"required": ["python"]},
                {"required": ["mcp"]},
            ],
            "properties": {
                "skill": {"$ref": "#/$defs/definitionName", "description": "A skill."},
                "shell": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string"},
                    "description": 'An argv pattern: [git, log, "*"].',
                },
                "http": {
                    "title": "http",
                    "type": "object",
                    "additionalProperties": False,
                    "description": "Requests to these hosts.",
                    "properties": {
                        "method": {
                            "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
                            "description": "How it is asked. Default: GET.",
                        },
                        "hosts": {"$ref": "#/$defs/strings", "description": "Hosts it may call."},
                    },
                },
                "python": {
                    "type": "string",
                    "pattern": "^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$",
                    "x-expected": "package.module:function",
                    "description": "A function.",
                },
                "mcp": {
                    "title": "mcp",
                    "type": "object",
                    "required": ["command"],
                    "additionalProperties": False,
                    "description": "Tools of an MCP server.",
                    "properties": {
                        "command": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string"},
                            "description": "What starts the server.",
                        },
                        "tools": {"$ref": "#/$defs/strings", "description": "Which of its tools. Default: all."},
                    },
                },
                "name": {
                    "type": "string",
                    "pattern": "^[A-Za-z0-9_-]{1,64}$",
                    "x-expected": "a name of letters, digits, _ and -",
                    "description": "What the model calls it.",
                },
                "description": {"type": "string", "description": "What the model reads about it."},
                "approve": {"type": "boolean", "description": "A person signs before each call."},
                "effect": {
                    "enum": ["repeatable", "once"],
                    "description": "once: never called again by itself when the outcome is unknown.",
                },
                "max_calls": {"type": "integer", "minimum": 1, "description": "At most so many calls."},
            },
        }
    },
    secrets=frozenset({"agent"}),
    performer="interpreter",
    is_supported=False,
    is_mockable=True,
    errors=ERRORS,
)

PUBLISH = ActionSpec(
    name="publish",
    schema={
        "title": "publish",
        "type": "object",
        "required": ["definition"],
        "additionalProperties": False,
        "description": "Hands in a new or changed skill.",
        "properties": {
            "definition": {"type": "string", "description": "The definition's text."},
            "reason": {"type": "string", "description": "Why."},
            "tests": {"description": "Its tests."},
        },
    },
    is_supported=False,
    is_mockable=True,
)
