"""JSON Schemas that users write (inputs, forms, outputs of models): are they valid, and does a value fit?

jsonschema takes 70 ms to import, so it is imported here, and only for a schema that is not of the plain kind. References to other
documents are never fetched: the registry is empty.
"""

from __future__ import annotations

from typing import Any

_TYPES = ("string", "integer", "number", "boolean", "null", "array", "object")
_WHOLE = ("$schema", "$ref", "enum", "const", "properties", "anyOf", "oneOf", "allOf")
_PLAIN = frozenset({"type", "description", "default", "title", "examples"})


def schema_error(schema: Any) -> tuple[tuple[str | int, ...], str] | None:
    """Where inside a JSON Schema it is not a valid one, and why; None when it is valid."""
    if _is_plain(schema):
        return None
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return tuple(error.absolute_path), error.message
    return None


def spelled_out(schema: Any) -> Any:
    """A JSON Schema as it is; the short form (property -> schema, all required) as the schema that it stands for."""
    if not isinstance(schema, dict) or isinstance(schema.get("type"), str | list) or any(key in schema for key in _WHOLE):
        return schema
    return {"type": "object", "properties": schema, "required": list(schema), "additionalProperties": False}


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


def _is_plain(schema: Any) -> bool:
    """A type, words for people and a default, as most schemas are."""
    return isinstance(schema, dict) and _PLAIN.issuperset(schema) and schema.get("type", "string") in _TYPES
