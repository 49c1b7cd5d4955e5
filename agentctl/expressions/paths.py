"""The closure of a path such as `steps.triage.output`: most of what expressions do, so nothing is asked that need not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentctl.expressions.large import is_readable, read
from agentctl.expressions.tree import Tree, path_text
from agentctl.expressions.undefined import look_up

Closure = Callable[[Any], Any]


def compile_path(tree: Tree, *, keeps_references: bool = False) -> Closure:
    """Most expressions are paths of one to four names: subscribe straight away, and look closer only when that fails.

    A large value (see `large`) is read, unless the path is all there is and its reference will do (`keeps_references`).
    """
    offset, keys = tree[1], tree[2:]

    def explain(scope: Any) -> Any:
        value = scope
        for depth, key in enumerate(keys):
            value = look_up(value, key, path_text(keys[:depth]) if depth else "", offset)
        return value

    def path(scope: Any) -> Any:
        try:
            value = scope
            for key in keys:
                if value.__class__ is dict and is_readable(value):
                    return explain(scope)
                value = value[key]
            return value
        except (KeyError, TypeError, IndexError):
            return explain(scope)

    found = _short_path(keys, explain) or path
    return found if keeps_references else _reading(found)


def _reading(path: Closure) -> Closure:
    def read_path(scope: Any) -> Any:
        value = path(scope)
        return read(value) if value.__class__ is dict and is_readable(value) else value

    return read_path


def _short_path(keys: list[Any], explain: Closure) -> Closure | None:
    first, second, third = (*keys, None, None)[:3]

    def one(scope: Any) -> Any:
        try:
            return scope[first]
        except (KeyError, TypeError):
            return explain(scope)

    def two(scope: Any) -> Any:
        try:
            return scope[first][second]
        except (KeyError, TypeError, IndexError):
            return explain(scope)

    def three(scope: Any) -> Any:
        try:
            return scope[first][second][third]
        except (KeyError, TypeError, IndexError):
            return explain(scope)

    return {1: one, 2: two, 3: three}.get(len(keys))
