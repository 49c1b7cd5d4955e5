"""`shell` and `python`: actions that run a process."""

from __future__ import annotations

from typing import Any

from agentctl.spec.errors import PERMISSION_DENIED
from agentctl.spec.types import ActionSpec, ErrorType

_EXIT = ErrorType("shell.exit", retryable=True)
_SIGNAL = ErrorType("shell.signal", retryable=True, unknown=True)
_NOT_FOUND = ErrorType("shell.not_found")
_NOT_STARTED = ErrorType("shell.not_started", retryable=True)
_TOO_LARGE = ErrorType("shell.too_large", unknown=True)

_PARSE: dict[str, Any] = {
    "enum": ["text", "json", "yaml", "lines", "bytes"],
    "description": "What stdout is read as; bytes: a file, {file, bytes, sha256}. Default: text.",
}
_PARSE_KEY: dict[str, Any] = {"$ref": "#/$defs/shellParse"}
_ENV: dict[str, Any] = {"$ref": "#/$defs/env"}
_STDIN: dict[str, Any] = {"description": "What the process reads; anything but text is given as JSON."}
_CWD: dict[str, Any] = {"type": "string", "description": "The folder it runs in, relative to the project's root."}
_MAX_OUTPUT: dict[str, Any] = {
    "type": ["integer", "string"],
    "format": "agentctl-size",
    "x-code": "bad-size",
    "x-expected": "a size such as 512KiB or 10MiB",
    "description": "The largest output; a step with more is ended. Default: 1GiB.",
}

_ARGV: dict[str, Any] = {
    "minItems": 1,
    "items": {"type": ["string", "number", "boolean"], "x-expected": "a text or a number"},
}

SHELL = ActionSpec(
    name="shell",
    schema={
        "type": ["string", "array", "object"],
        "description": "A script for sh -eu, an argv without a shell, or a mapping.",
        "x-expected": "a script, a list of a program and its arguments, or a mapping with 'run'",
        "allOf": [
            {"if": {"type": "string"}, "then": {"minLength": 1}},
            {"if": {"type": "array"}, "then": {"$ref": "#/$defs/argv"}},
            {
                "if": {"type": "object"},
                "then": {
                    "title": "shell",
                    "required": ["run"],
                    "additionalProperties": False,
                    "properties": {
                        "run": {
                            "type": ["string", "array"],
                            "description": "A script, or an argv.",
                            "if": {"type": "array"},
                            "then": {"$ref": "#/$defs/argv"},
                            "else": {"minLength": 1},
                        },
                        "cwd": _CWD,
                        "env": _ENV,
                        "stdin": _STDIN,
                        "parse": _PARSE_KEY,
                        "max_output": _MAX_OUTPUT,
                        "ok_codes": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "integer", "minimum": 0, "maximum": 255},
                            "description": "Exit codes that are no failure. Default: [0].",
                        },
                        "interpreter": {
                            "type": "string",
                            "minLength": 1,
                            "description": "What runs the script: bash, python3 ... Default: sh -eu.",
                        },
                    },
                },
            },
        ],
    },
    definitions={"argv": _ARGV, "shellParse": _PARSE},
    beside={"parse": _PARSE_KEY, "env": _ENV, "stdin": _STDIN, "cwd": _CWD, "max_output": _MAX_OUTPUT},
    fixed=frozenset({"parse", "max_output", "ok_codes", "interpreter"}),
    secrets=frozenset({"shell", "env", "stdin", "cwd"}),
    texts={"shell": 1, "run": 1, "env": 1, "stdin": 0},
    streams=frozenset({"stdin"}),
    implementation="agentctl.actions.shell:make",
    is_mockable=True,
    can_be_allowed=True,
    errors=(_EXIT, _SIGNAL, _NOT_FOUND, _NOT_STARTED, _TOO_LARGE, PERMISSION_DENIED),
)

PYTHON = ActionSpec(
    name="python",
    schema={
        "type": "string",
        "pattern": "^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$",
        "x-expected": "package.module:function",
        "description": "A function, called in a child process: package.module:function.",
    },
    beside={
        "with": {"title": "with", "type": "object", "description": "Arguments of the python function, or the skill's input."},
        "max_output": _MAX_OUTPUT,
    },
    fixed=frozenset({"max_output"}),
    secrets=frozenset({"python", "with"}),
    implementation="agentctl.actions.python:make",
    is_mockable=True,
    can_be_allowed=True,
    errors=(ErrorType("python.exception", retryable=True), _EXIT, _SIGNAL, _NOT_STARTED, _TOO_LARGE, PERMISSION_DENIED),
)
