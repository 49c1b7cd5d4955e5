"""Values that a model gives, checked by JSON Schema. jsonschema takes 70 ms to import, so it is imported at the first check."""

from __future__ import annotations

from agentctl import JSON

PROBLEMS = 8  # that a model is shown
_LONGEST = 300  # characters of one


def problems_of(value: JSON, schema: JSON) -> list[str]:
    """What is wrong with a value, one sentence each; empty when it fits. References to other documents are never fetched."""
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        errors = list(Draft202012Validator(schema, registry=Registry()).iter_errors(value))
    except (Unresolvable, RecursionError) as error:
        return [f"it cannot be checked: its schema has a reference that leads nowhere ({error})"]
    return [f"{error.json_path}: {error.message[:_LONGEST]}" for error in errors[:PROBLEMS]]


def with_defaults(value: dict[str, JSON], schema: JSON) -> dict[str, JSON]:
    """The value with the defaults of the properties that it lacks."""
    properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
    missing = {
        name: part["default"]
        for name, part in properties.items()
        if name not in value and isinstance(part, dict) and "default" in part
    }
    return {**value, **missing}


def is_object(schema: JSON) -> bool:
    """Whether a schema describes a mapping, as the parameters of a tool have to be."""
    return isinstance(schema, dict) and (schema.get("type") == "object" or ("type" not in schema and "properties" in schema))


def schema_problem(schema: JSON) -> str | None:
    """Why a value is no JSON Schema; None when it is one."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return str(error.message)
    return None
