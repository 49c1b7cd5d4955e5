"""The closures of what is applied to a value: filters, tests, and the filters that go through a list with another one.

Loaded by `evaluate` when a tree has such an op. `compile_tree` and `compile_strict` are its own: the closure of a tree, and of
one in which an undefined name is an error even under `default`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.attributes import getter
from agentctl.expressions.filters import FILTERS
from agentctl.expressions.large import is_readable, read
from agentctl.expressions.limits import spend_items
from agentctl.expressions.tests import CHECKS
from agentctl.expressions.tree import TOLERANT_FILTERS, Tree
from agentctl.expressions.undefined import Undefined
from agentctl.expressions.values import SECRET_MISUSE, SecretText, a_kind, plain

Closure = Callable[[Any], Any]
Compile = Callable[[Tree], Closure]
Arguments = Callable[[Any], tuple[list[Any], dict[str, Any]]]


# What tests say of an attribute that an item lacks (selectattr, rejectattr), as Jinja's undefined does.
_DEFINED: dict[str, Callable[[Any], bool]] = {"defined": lambda value: True, "undefined": lambda value: False}
_TRUE_OF_NOTHING = frozenset({"undefined", "ne", "!="})
_NEED_A_VALUE = frozenset({"odd", "even", "divisibleby", "<", "<=", ">", ">=", "lt", "le", "gt", "ge", "lessthan", "greaterthan"})


def _arguments(args: list[Tree], kwargs: dict[str, Tree], compile_strict: Compile) -> Arguments:
    """The closure of the arguments of a filter or a test."""
    positional = [compile_strict(tree) for tree in args]
    named = [(name, compile_strict(tree)) for name, tree in kwargs.items()]

    def evaluate(scope: Any) -> tuple[list[Any], dict[str, Any]]:
        return [_open(value(scope)) for value in positional], {name: _open(value(scope)) for name, value in named}

    return evaluate


def _open(value: Any) -> Any:
    """`value` as a filter or a test may see it: JSON, and never a secret."""
    if isinstance(value, SecretText):
        raise ExpressionError(SECRET_MISUSE)
    if value.__class__ is dict and is_readable(value):  # an item of a list
        return read(value)
    return plain(value)


def _applied(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, its mistakes about types raised as an ExpressionError that names `what`."""

    def apply(value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return function(value, *args, **kwargs)
        except ExpressionError as error:
            raise ExpressionError(f"{what}: {error.message}", suggestion=error.suggestion) from None
        except (TypeError, ValueError, AttributeError, LookupError):
            given = ", ".join(a_kind(argument) for argument in (value, *args, *kwargs.values()))
            raise ExpressionError(f"{what} cannot be applied to {given}") from None

    return apply


def compile_filter(tree: Tree, compile_tree: Compile, compile_strict: Compile) -> Closure:
    apply = _applied(f"filter '{tree[1]}'", FILTERS[tree[1]])
    base = compile_tree(tree[2]) if tree[1] in TOLERANT_FILTERS else compile_strict(tree[2])
    arguments = _arguments(tree[3], tree[4], compile_strict)

    def filtered(scope: Any) -> Any:
        args, kwargs = arguments(scope)
        return apply(_open(base(scope)), *args, **kwargs)

    return filtered


def compile_test(tree: Tree, compile_tree: Compile, compile_strict: Compile) -> Closure:
    check = _applied(f"test '{tree[1]}'", CHECKS[tree[1]])
    base, arguments = compile_tree(tree[2]), _arguments(tree[3], tree[4], compile_strict)

    def tested(scope: Any) -> bool:
        args, kwargs = arguments(scope)
        return bool(check(_open(base(scope)), *args, **kwargs))

    return tested


def _items(what: str, base: Closure) -> Callable[[Any], list[Any]]:
    """The closure of what is gone through one by one: a list, the keys of a mapping, the characters of a string."""

    def items(scope: Any) -> list[Any]:
        value = _open(base(scope))
        if not isinstance(value, (list, dict, str)):
            raise ExpressionError(f"{what} takes a list, not {a_kind(value)}")
        spend_items(len(value))
        return list(value)

    return items


def compile_map_attribute(tree: Tree, compile_tree: Compile, compile_strict: Compile) -> Closure:
    items, attribute = _items("filter 'map'", compile_tree(tree[1])), compile_strict(tree[2])
    default = compile_strict(tree[3]) if tree[3] is not None else None

    def mapped(scope: Any) -> list[Any]:
        otherwise = {} if default is None else {"default": _open(default(scope))}
        get = getter(attribute(scope), **otherwise)
        return [get(item) for item in items(scope)]

    return mapped


def compile_map_filter(tree: Tree, compile_tree: Compile, compile_strict: Compile) -> Closure:
    apply = _applied(f"filter '{tree[1]}'", FILTERS[tree[1]])
    items, arguments = _items("filter 'map'", compile_strict(tree[2])), _arguments(tree[3], tree[4], compile_strict)

    def mapped(scope: Any) -> list[Any]:
        args, kwargs = arguments(scope)
        return [apply(_open(item), *args, **kwargs) for item in items(scope)]

    return mapped


def compile_select(tree: Tree, compile_tree: Compile, compile_strict: Compile) -> Closure:
    _, keep, attribute, name, base, args, kwargs = tree
    holds = _applied(f"test '{name}'", {**CHECKS, **_DEFINED}[name]) if name else bool
    items, arguments = _items("filter 'select'", compile_strict(base)), _arguments(args, kwargs, compile_strict)
    attribute_name = compile_strict(attribute) if attribute is not None else None

    def selected(scope: Any) -> list[Any]:
        values, options = arguments(scope)
        get = getter(attribute_name(scope)) if attribute_name else _open

        def chosen(item: Any) -> bool:
            try:
                value = get(item)
            except Undefined:
                if name in _NEED_A_VALUE:
                    raise
                return (name in _TRUE_OF_NOTHING) is keep
            return bool(holds(value, *values, **options)) is keep

        return [item for item in items(scope) if chosen(item)]

    return selected


COMPILERS: dict[str, Callable[[Tree, Compile, Compile], Closure]] = {
    "filter": compile_filter,
    "test": compile_test,
    "map_attribute": compile_map_attribute,
    "map_filter": compile_map_filter,
    "select": compile_select,
}
