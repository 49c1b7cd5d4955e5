"""What an action hands back must be JSON: what the journal cannot hold would be another value after a crash."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

MAX_DEPTH = 100


def json_problem(value: Any, depth: int = 0) -> str | None:
    """Why `value` is no JSON that the journal can hold, as the end of a sentence; None when it is fine."""
    kind = type(value)
    if kind is str:
        return None if value.isascii() or _encodable(value) else "it holds text that is not valid Unicode"
    if value is None or kind is bool or kind is int:
        return None
    if kind is float:
        return None if isfinite(value) else f"it holds {value}, which is no JSON number"
    if depth >= MAX_DEPTH:
        return f"it is nested deeper than {MAX_DEPTH} levels"
    if kind is list:
        return _first_flaw(value, depth + 1)
    if kind is dict:
        return _key_flaw(value) or _first_flaw(value.values(), depth + 1)
    return f"it holds a Python {kind.__name__}"


def clean_text(text: str) -> str:
    """The same text with what UTF-8 cannot hold replaced."""
    return text.encode("utf-8", "replace").decode()


def _first_flaw(items: Iterable[Any], depth: int) -> str | None:
    for item in items:
        why = json_problem(item, depth)
        if why is not None:
            return why
    return None


def _key_flaw(mapping: dict[Any, Any]) -> str | None:
    for key in mapping:
        if type(key) is not str:
            return f"it holds a mapping with the key {key!r}, which is no text"
        if not key.isascii() and not _encodable(key):
            return json_problem(key)
    return None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
