"""The input of a run, by what its definition declares: `-i k=v` read, defaults filled in, everything checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from agentctl.errors import InputInvalid
from agentctl.expressions.suggestions import did_you_mean
from agentctl.model import Definition, Input

LARGEST_PRIORITY = 1_000_000_000  # and the smallest is its negative
_ARTICLES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list in JSON",
    "object": "a mapping in JSON",
}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_PLAIN = frozenset({"type", "default", "description", "enum", "title", "examples"})


class _Unreadable(Exception):
    """The text is not of this type."""


def read_inputs(definition: Definition, pairs: Iterable[str], document: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The complete input of a run from `k=v` texts and a JSON document (the texts win).

    A text is read by the declared schema: `012` is the text for a string and an error for an integer.
    Raises InputInvalid naming the input, what was expected, and the nearest name of an unknown one.
    """
    given = dict(document or {})
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputInvalid(f"an input is given as NAME=VALUE, not '{pair}'")
        _declared(definition, name)
        given[name] = _read(name, text, definition.input[name].schema)
    return check_inputs(definition, given)


def check_inputs(definition: Definition, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with defaults filled in, in the order of the declaration. Raises InputInvalid."""
    for name in given:
        _declared(definition, name)
    missing = [name for name, declared in definition.input.items() if name not in given and not declared.has_default]
    if missing:
        asked = "; ".join(f"'{name}' ({expected(definition.input[name].schema)})" for name in missing)
        raise InputInvalid(f"{definition.kind} '{definition.name}' needs the input {asked}")
    complete = {name: given.get(name, declared.default) for name, declared in definition.input.items()}
    for name, declared in definition.input.items():
        _check(name, complete[name], declared)
    return complete


def _declared(definition: Definition, name: str) -> None:
    if name in definition.input:
        return
    if not definition.input:
        raise InputInvalid(f"{definition.kind} '{definition.name}' takes no input, but '{name}' was given")
    hint = did_you_mean(name, definition.input) or f"; it takes {', '.join(definition.input)}"
    raise InputInvalid(f"{definition.kind} '{definition.name}' has no input '{name}'{hint}")


def _types(schema: Any) -> list[str]:
    """The declared JSON types; empty when the schema leaves that open."""
    kinds = schema.get("type") if isinstance(schema, dict) else None
    return [kinds] if isinstance(kinds, str) else list(kinds or ())


def _read(name: str, text: str, schema: Any) -> Any:
    try:
        return read_text(text, schema)
    except ValueError as error:
        raise InputInvalid(f"input '{name}' {error}") from None


def read_text(text: str, schema: Any) -> Any:
    """What was typed, as a value of the declared type. Raises ValueError, to be read after the value's name."""
    types = _types(schema)
    if not types:
        try:
            return _json(text)
        except _Unreadable:
            return text
    for kind in sorted(types, key=lambda kind: kind == "string"):  # a text is the last thing it can be
        try:
            return _read_as(kind, text)
        except _Unreadable:
            continue
    raise ValueError(f"has to be {expected(schema)}, not '{_short(text)}'")


def _read_as(kind: str, text: str) -> Any:
    if kind == "string":
        return text
    if kind in ("integer", "number"):
        if not _NUMBER.fullmatch(text):
            raise _Unreadable
        value = _json(text)
        if kind == "integer" and isinstance(value, float):
            if not value.is_integer():
                raise _Unreadable
            return int(value)
        return value
    value = _json(text)
    if not _is(kind, value):
        raise _Unreadable
    return value


def _json(text: str) -> Any:
    import json

    def refuse(_: str) -> Any:
        raise _Unreadable

    try:
        value = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise _Unreadable from None
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise _Unreadable
    return value


def _is(kind: str, value: Any) -> bool:
    """Whether a JSON value is of a JSON Schema type; 2.0 is an integer, true is no number."""
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    python = {"string": str, "number": (int, float), "null": type(None), "array": (list, tuple), "object": dict}.get(kind)
    return python is not None and isinstance(value, python)  # type: ignore[arg-type]  # a class or a tuple of classes


def _check(name: str, value: Any, declared: Input) -> None:
    problem = wrong_value(value, declared.schema)
    if problem:
        raise InputInvalid(f"input '{name}' {problem}")


def wrong_value(value: Any, schema: Any) -> str | None:
    """Why a value does not fit a schema, to be read after the value's name; None when it fits."""
    if schema is True:
        return None
    if isinstance(schema, dict) and _PLAIN.issuperset(schema):  # the common case, without the weight of a schema library
        types = _types(schema)
        if types and not any(_is(kind, value) for kind in types):
            return f"has to be {expected(schema)}, not {_short(_shown(value))}"
        if "enum" in schema and not any(_same(value, choice) for choice in schema["enum"]):
            hint = did_you_mean(value, schema["enum"]) if isinstance(value, str) else ""
            return f"has to be {expected(schema)}, not {_short(_shown(value))}{hint}"
        return None
    from agentctl.spec.schemas import first_error

    return first_error(value, schema)


def wrong_default(schema: Any) -> str | None:
    """Why the default of a schema does not fit it; None when it does, has an expression inside, or the schema is no valid one."""
    from agentctl.spec.schemas import schema_error

    if not has_default(schema) or "${{" in repr(schema["default"]) or schema_error(schema) is not None:
        return None
    return wrong_value(schema["default"], schema)


def priority_flaw(value: Any) -> str | None:
    """Why a value is no priority, as a sentence; None when it is one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and -LARGEST_PRIORITY <= value <= LARGEST_PRIORITY:
        return None
    shown = "a number outside of that" if is_number else _short(_shown(value))
    return f"priority has to be a number from {-LARGEST_PRIORITY:,} to {LARGEST_PRIORITY:,}, not {shown}"


def has_default(schema: Any) -> bool:
    return isinstance(schema, dict) and "default" in schema


def _same(value: Any, choice: Any) -> bool:
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def expected(schema: Any) -> str:
    """What a schema asks for, in words: `a whole number`, `one of 'a', 'b'`."""
    if isinstance(schema, dict) and isinstance(schema.get("enum"), list):
        return "one of " + ", ".join(_shown(choice) for choice in schema["enum"])
    return " or ".join(_ARTICLES.get(kind, kind) for kind in _types(schema)) or "given"


def _shown(value: Any) -> str:
    import json

    return f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
