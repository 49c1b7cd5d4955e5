"""What agentctl knows of the action before it runs: its keys, where secrets can stand, its errors."""

from __future__ import annotations

from agentctl.spec import ActionSpec, ErrorType

SQLITE = ActionSpec(
    name="sqlite",
    schema={
        "title": "sqlite",
        "type": "object",
        "required": ["file", "query"],
        "additionalProperties": False,
        "description": "Read rows from a SQLite file.",
        "properties": {
            "file": {"type": "string", "minLength": 1, "description": "The database, relative to the project's root."},
            "query": {"type": "string", "minLength": 1, "description": "One SELECT, with `?` for each parameter."},
            "parameters": {"type": ["array", "string"], "description": "The values of the query's parameters."},
        },
    },
    implementation="agentctl_sqlite.action:make",
    is_mockable=True,
    can_be_allowed=True,
    errors=(ErrorType("sqlite.busy", retryable=True), ErrorType("sqlite.failed")),
)
