"""`attribute="a.b"`: how sort, groupby, map and their like look into each item. Keys of mappings and indices, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.undefined import Undefined, look_up
from agentctl.expressions.values import SECRET_MISUSE, SecretText, a_kind

Getter = Callable[[Any], Any]
_REQUIRED = object()


def getter(attribute: Any, *, default: Any = _REQUIRED) -> Getter:
    """A function from an item to the value at `attribute`: dotted text, where digits are an index, or an integer.
    Without a default, Undefined is raised for an item that lacks it. Secrets are refused."""
    keys = _keys(attribute)

    def get(item: Any) -> Any:
        value, seen = item, "an item"
        try:
            for key in keys:
                value = look_up(value, key, seen)
                seen = f"{seen}.{key}" if seen != "an item" else str(key)
        except Undefined:
            if default is _REQUIRED:
                raise
            return default
        if isinstance(value, SecretText):
            raise ExpressionError(SECRET_MISUSE)
        return value

    return get


def sort_key(attribute: Any, case_sensitive: Any) -> Getter:
    """What items are compared by: themselves, or their attribute; strings in lower case unless case_sensitive."""
    get = getter(attribute) if attribute is not None else None

    def key(item: Any) -> Any:
        value = get(item) if get else item
        return value.lower() if isinstance(value, str) and not case_sensitive else value

    return key


def _keys(attribute: Any) -> list[str | int]:
    if isinstance(attribute, int):
        return [attribute]
    if isinstance(attribute, str):
        return [int(part) if part.isdecimal() and len(part) < 10 else part for part in attribute.split(".")]
    raise ExpressionError(f"an attribute is a string or an integer, not {a_kind(attribute)}")
