"""What a schema says, in words: expectations, what was found instead, keys that other tools call differently."""

from __future__ import annotations

import json
from typing import Any

from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.yaml.tree import Path

# Words of other tools for keys of ours; offered where ours is possible and no nearer name is.
SYNONYMS = {
    "run": "shell", "script": "shell", "command": "shell", "cmd": "shell", "bash": "shell", "exec": "shell",
    "uses": "skill", "call": "skill", "action": "skill", "sleep": "wait", "delay": "wait", "when": "if", "condition": "if",
    "depends_on": "needs", "depends": "needs", "after": "needs", "retries": "retry", "retry_policy": "retry",
    "environment": "env", "args": "with", "arguments": "with", "params": "with", "inputs": "input", "outputs": "output",
    "on": "triggers", "schedule": "triggers", "trigger": "triggers", "tasks": "steps", "jobs": "steps",
    "max_attempts": "attempts", "limit": "attempts", "count": "attempts", "factor": "backoff", "interval": "delay",
    "for_each": "foreach", "loop": "foreach", "parallel": "max_parallel", "approval": "approve", "label": "name",
    "workdir": "cwd", "working_directory": "cwd", "on_error": "fallback", "catch": "fallback", "rollback": "undo",
    "tz": "timezone", "continue_on_failure": "continue_on_error", "on_finally": "finally", "always": "finally",
    "max_iterations": "max", "times": "max", "uri": "url", "data": "body", "messages": "prompt", "instructions": "goal",
}  # fmt: skip

_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
    "array": "a list",
    "object": "a mapping",
}


def listed(words: list[str], last: str) -> str:
    """`a, b and c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def subject(path: Path) -> str:
    """How a value is called in a sentence: by its key, or as an item of a list."""
    if not path:
        return "a definition"
    if isinstance(path[-1], str):
        return f"'{path[-1]}'"
    keys = [key for key in path if isinstance(key, str)]
    return f"an item of '{keys[-1]}'" if keys else "an item"


def expected(schema: dict[str, Any]) -> str:
    """What a schema takes, as the end of `has to be ...`."""
    if "x-expected" in schema:
        return str(schema["x-expected"])
    if "enum" in schema:
        return listed([str(choice) for choice in schema["enum"]], "or")
    types = schema.get("type", [])
    return listed([_TYPES[kind] for kind in ([types] if isinstance(types, str) else types)], "or") or "something else"


def found(value: Any) -> str:
    """What stands there instead."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"'{value if len(value) <= 40 else value[:37] + '...'}'" if value.strip() else "an empty text"
    return f"the {'value' if isinstance(value, bool) else 'number'} {json.dumps(value)}"


def value(path: Path, error: Any) -> str:
    """The sentence for a value that a key does not take. `error`: of jsonschema."""
    name, instance, limit = subject(path), error.instance, error.validator_value
    match error.validator:
        case "format":
            return f"{name}: {error.cause}"
        case "enum":
            hint = did_you_mean(instance, limit) if isinstance(instance, str) else ""
            return f"{name} has to be {expected(error.schema)}, not {found(instance)}{hint}"
        case "minItems" | "minLength" | "minProperties":
            return f"{name} is empty"
        case "minimum":
            return f"{name} has to be at least {limit}, not {json.dumps(instance)}"
        case "maximum":
            return f"{name} has to be at most {limit}, not {json.dumps(instance)}"
        case "exclusiveMinimum":
            return f"{name} has to be more than {limit}, not {json.dumps(instance)}"
        case "uniqueItems":
            return f"{name} names something twice"
    unit = ""
    if error.schema.get("x-code") == "bad-duration" and isinstance(instance, int | float) and not isinstance(instance, bool):
        unit = f"; it has no unit: write {instance}s for seconds, {instance}m for minutes"
    return f"{name} has to be {expected(error.schema)}, not {found(instance)}{unit}"
