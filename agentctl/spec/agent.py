"""`agent` and `publish`: a model in a loop with tools, and the skills that it writes."""

from __future__ import annotations

from typing import Any

from agentctl.spec.llm import ERRORS
from agentctl.spec.types import ActionSpec, ErrorType

_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}
_METHODS: dict[str, Any] = {"enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]}

_DEFINITIONS: dict[str, Any] = {
    "eventPatterns": {"type": "array", "minItems": 1, "items": {"type": "string"}, "x-expected": "a list of names of events"},
    "httpWalls": {
        "title": "http",
        "type": "object",
        "required": ["hosts"],
        "additionalProperties": False,
        "properties": {
            "method": {
                "type": ["string", "array"],
                "pattern": f"^({'|'.join(_METHODS['enum'])})$",
                "minItems": 1,
                "items": _METHODS,
                "x-expected": f"one of {', '.join(_METHODS['enum'])}, or a list of these",
                "description": "How it is asked, or a list from which the model chooses. Default: GET.",
            },
            "hosts": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string"},
                "description": "Hosts it may call: h, h:port or *.h.",
            },
            "paths": {"$ref": "#/$defs/strings", "description": "Paths it may call, * for any text. Default: all."},
            "headers": {
                "title": "headers",
                "type": "object",
                "additionalProperties": {"type": ["string", "number", "boolean"]},
                "description": "Name -> value; the model gives none.",
            },
            "local": {"type": "boolean", "description": "A name may resolve to private addresses. Default: false."},
        },
    },
    "question": {
        "title": "ask",
        "type": "object",
        "additionalProperties": False,
        "description": "A person answers a question of the model.",
        "properties": {
            "timeout": {"$ref": "#/$defs/span", "description": "How long to wait for a person at most."},
            "max": {**_COUNT, "description": "Questions at most. Default: 5."},
        },
    },
    "toolApproval": {
        "type": ["boolean", "string", "object"],
        "description": "A person signs before each call: true, an expression over `args`, or a mapping.",
        "x-expected": "true, an expression over args, or a mapping with if, timeout, on_timeout or edit",
        "if": {"type": "object"},
        "then": {
            "title": "approve",
            "additionalProperties": False,
            "properties": {
                "if": {
                    "type": ["string", "boolean"],
                    "description": "An expression over `args`; false: nobody has to sign.",
                    "x-expected": "an expression",
                },
                "timeout": {"$ref": "#/$defs/span", "description": "How long to wait for a person at most."},
                "on_timeout": {
                    "enum": ["reject", "approve"],
                    "description": "What happens when the time is over. Default: reject.",
                },
                "edit": {"$ref": "#/$defs/strings", "description": "Arguments for which a person may sign other values."},
            },
        },
    },
    "tool": {
        "title": "a tool",
        "type": "object",
        "additionalProperties": False,
        "x-one": "kind",
        "oneOf": [{"required": [kind]} for kind in ("shell", "http", "python", "skill", "skills", "ask", "emit", "remember")],
        "properties": {
            "args": {
                "title": "args",
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$", "x-expected": "a name of letters, digits and _"},
                "additionalProperties": {"$ref": "#/$defs/jsonSchema"},
                "description": "Name -> JSON Schema of what the model gives; the rest of the entry sees it as `args`.",
            },
            "shell": {"$ref": "#/$defs/shell", "description": 'As of a step, or without `args` a pattern: [git, log, "*"].'},
            "http": {
                "description": "As of a step, or without `args` the hosts that may be called.",
                "if": {"type": "object", "required": ["hosts"]},
                "then": {"$ref": "#/$defs/httpWalls"},
                "else": {"$ref": "#/$defs/http"},
            },
            "python": {
                "type": "string",
                "pattern": "^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$",
                "x-expected": "package.module:function",
                "description": "A function; without `args` the model gives the parameters of its signature.",
            },
            "skill": {"$ref": "#/$defs/definitionName", "description": "A skill; without `args` the model gives its input."},
            "skills": {
                "type": "string",
                "minLength": 1,
                "description": "A library: the skills whose names fit, by the tools find_skill and use_skill.",
            },
            "ask": {"$ref": "#/$defs/question"},
            "emit": {
                "description": "As of a step, or without `args` a list of the events that may be sent.",
                "if": {"type": "array"},
                "then": {"$ref": "#/$defs/eventPatterns"},
                "else": {"$ref": "#/$defs/emit"},
            },
            "remember": {
                "title": "remember",
                "type": "object",
                "minProperties": 1,
                "description": "As of a step, or without `args` name -> JSON Schema of the values that the model may keep.",
            },
            "with": {"title": "with", "type": "object", "description": "Beside `args`: what the function or the skill is given."},
            "parse": {"$ref": "#/$defs/shellParse"},
            "env": {"$ref": "#/$defs/env"},
            "stdin": {"description": "What the process reads; anything but text is given as JSON."},
            "cwd": {"type": "string", "description": "The folder it runs in, relative to the project's root."},
            "detach": {"type": "boolean", "description": "Of a skill: answer {run_id} at once. Default: false."},
            "name": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_-]{1,64}$",
                "x-expected": "a name of letters, digits, _ and -",
                "description": "What the model calls it. Default: that of the skill or function, or the program.",
            },
            "description": {"type": "string", "description": "What the model reads about it."},
            "approve": {"$ref": "#/$defs/toolApproval"},
            "effect": {
                "enum": ["repeatable", "once"],
                "description": "once: never called again by itself when the outcome is unknown.",
            },
            "on_unknown": {"$ref": "#/$defs/onUnknown"},
            "idempotency_key": {
                "type": "string",
                "description": "A call that already succeeded with this key, in any turn and any run, hands over its result.",
            },
            "undo": {"$ref": "#/$defs/step", "description": "A step that sees `args` and `output`, run if the run later fails."},
            "max_calls": {**_COUNT, "description": "At most so many calls."},
            "timeout": {"$ref": "#/$defs/span", "description": "Of one attempt. Default: 5m."},
            "retry": {"$ref": "#/$defs/retry"},
            "serial": {"type": "boolean", "description": "Its calls run one at a time. Default: false."},
        },
    },
}

AGENT = ActionSpec(
    name="agent",
    schema={
        "title": "agent",
        "type": "object",
        "required": ["goal"],
        "additionalProperties": False,
        "description": "A model in a loop with tools, until it answers.",
        "properties": {
            "goal": {"type": "string", "minLength": 1, "description": "What to achieve: the first message."},
            "system": {"type": "string", "description": "The system prompt."},
            "model": {
                "type": "string",
                "minLength": 1,
                "description": "A litellm name, or an alias of the project file. Default: default.",
            },
            "fallback_models": {"$ref": "#/$defs/strings", "description": "Models to ask when this one is not available."},
            "tools": {"type": "array", "items": {"$ref": "#/$defs/tool"}, "description": "What it may use; nothing else."},
            "schema": {"$ref": "#/$defs/outputSchema"},
            "max_turns": {**_COUNT, "description": "Turns at most. Default: 20."},
            "on_limit": {
                "enum": ["fail", "answer"],
                "description": "answer: the last turn has no tools and has to answer. Default: fail.",
            },
            "stall": {
                "type": "integer",
                "minimum": 2,
                "description": "Fails after so many turns without anything new. Default: 3.",
            },
            "max_tokens": {"type": ["integer", "string"], "minimum": 1, "description": "The longest answer of one turn."},
            "temperature": {
                "type": ["number", "string"],
                "minimum": 0,
                "maximum": 2,
                "description": "How varied the answers are.",
            },
            "max_parallel": {**_COUNT, "description": "Calls of one turn at once. Default: 8."},
            "compact": {
                "title": "compact",
                "type": "object",
                "additionalProperties": False,
                "description": "When a long conversation is shortened.",
                "properties": {
                    "at": {
                        "type": "string",
                        "pattern": "^([1-9][0-9]?|100)%$",
                        "x-expected": "a percentage such as 70%",
                        "description": "Share of the model's context. Default: 70%.",
                    },
                    "keep": {**_COUNT, "description": "The last turns, which stay as they are. Default: 6."},
                },
            },
            "observation": {
                "type": ["integer", "string"],
                "format": "agentctl-size",
                "x-code": "bad-size",
                "x-expected": "a size such as 512KiB or 10MiB",
                "description": "The longest result of a call that the model reads; of a longer one the middle is left out. "
                "Default: 32KiB.",
            },
        },
    },
    definitions=_DEFINITIONS,
    fixed=frozenset({"max_turns", "on_limit", "stall", "max_parallel", "observation", "compact"}),
    secrets=frozenset({"agent"}),
    performer="interpreter",
    is_mockable=True,
    errors=(
        *ERRORS,
        ErrorType("agent.max_turns"),
        ErrorType("agent.stalled"),
        ErrorType("tool.unknown"),
        ErrorType("tool.invalid_arguments"),
        ErrorType("tool.max_calls"),
    ),
)

# Keys of the language that this version does not carry out, by the title of the mapping: each is refused when it is loaded.
NOT_YET: dict[str, frozenset[str]] = {
    "agent": frozenset({"skills", "on_untrusted", "review"}),
    "a tool": frozenset(
        {"mcp", "script", "defer", "untrusted", "private", "acts", "sandbox", "write", "network", "tools"}
    ),
}

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
