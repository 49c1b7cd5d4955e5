"""JSON Schemas that users write (inputs, forms, outputs of models): are they valid, and does a value fit?

jsonschema takes 70 ms to import, so it is imported here and only when a schema needs it. References to other
documents are never fetched: the registry is empty.
"""

from __future__ import annotations

from typing import Any


def schema_error(schema: Any) -> tuple[tuple[str | int, ...], str] | None:
    """Where inside a JSON Schema it is not a valid one, and why; None when it is valid."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return tuple(error.absolute_path), error.message
    return None


def first_error(value: Any, schema: Any) -> str | None:
    """Why a value does not fit, to be read after the value's name; None when it fits."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        error = best_match(Draft202012Validator(schema, registry=Registry()).iter_errors(value))
    except (Unresolvable, RecursionError) as problem:
        return f"cannot be checked: its schema has a reference that leads nowhere ({problem})"
    if error is None:
        return None
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    message = error.message if len(error.message) <= 300 else error.message[:297] + "..."
    return f"does not fit its schema{' at ' + where.removeprefix('.') if where else ''}: {message}"


def is_schema(schema: Any) -> bool:
    """Whether it is a valid JSON Schema; those of the common kind are told without jsonschema."""
    if isinstance(schema, dict) and set(schema) <= {"type", "default", "description"}:
        kind = schema.get("type", "string")
        return isinstance(kind, str) and kind in _TYPES
    return schema_error(schema) is None


_TYPES = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
