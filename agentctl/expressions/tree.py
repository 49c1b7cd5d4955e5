"""The tree of an expression, and how to look at one without evaluating it.

A tree is JSON: `[op, operand...]`. Operands that are lists (or mappings of lists) are trees again; `?` marks one that may be
null. `references` walks trees by this rule alone.

    lit value                           a value without any expression inside, kept whole
    int digits                          an integer literal of more than 64 bits
    path offset name key...             scope[name][key]...; keys are constant strings and integers
    item base key                       base[key], when base is no path or key is no constant
    slice base start? stop? step?       base[start:stop:step]
    and a b | or a b | not a            Python's truth, as in Jinja
    if test then else?                  `then if test else else`; without else it may be undefined
    cmp first sign tree [sign tree...]  chained comparison; signs == != < <= > >= in, `not in`
    + - * / // % **  a b | neg a | pos a
    ~ tree...                           texts put together
    list tree... | dict [key value]...  literals inside an expression
    range tree...                       1 to 3 integers
    default base fallback boolean?      base may be undefined anywhere on its way
    defined base                        the same; `is undefined` is its `not`
    filter name base [args] {kwargs}    name in filters.FILTERS
    test name base [args] {kwargs}      name in tests.CHECKS
    map_attribute base attribute default?
    map_filter name base [args] {kwargs}
    select keep attribute? name? base [args] {kwargs}    select, reject, selectattr, rejectattr; name of a test

and for a YAML value with expressions inside:

    text part...                        a part is a literal string or a tree
    seq tree... | map {key: tree}
    entries [key value]...              a mapping with expressions in its keys
"""

from __future__ import annotations

from typing import Any

Tree = Any

# Filters whose value may be undefined under `default`, as their result may be.
TOLERANT_FILTERS = frozenset({"first", "last", "min", "max"})


def all_ops(tree: Tree) -> list[str]:
    """Every op of a tree, in no particular order."""
    return [tree[0], *(op for child in children(tree) for op in all_ops(child))]


def children(tree: Tree) -> list[Tree]:
    """The trees directly inside a tree."""
    if tree[0] in ("lit", "int", "path"):
        return []
    found: list[Tree] = []
    for operand in tree[1:]:
        found += _trees(operand)
    return found


def names_secrets(tree: Tree) -> bool:
    """Whether an expression looks something up in `secrets`."""
    if tree[0] == "path":
        return bool(tree[2] == "secrets")
    return any(names_secrets(child) for child in children(tree))


def _trees(operand: Any) -> list[Tree]:
    if isinstance(operand, dict):
        return list(operand.values())
    if not isinstance(operand, list) or not operand:
        return []
    return [operand] if isinstance(operand[0], str) else [tree for part in operand for tree in _trees(part)]


def tolerates(tree: Tree) -> bool:
    """Whether `default` and `is defined` look through this op to what lies behind it."""
    return tree[0] in ("path", "item", "slice", "if", "default", "map_attribute") or (
        tree[0] == "filter" and tree[1] in TOLERANT_FILTERS
    )


def label(tree: Tree) -> str:
    """How a user wrote `tree`, as far as one word can show it."""
    if tree[0] == "path":
        return path_text(tree[2:])
    if tree[0] == "item" and tree[2][0] == "lit":
        return path_text([label(tree[1]), tree[2][1]])
    return "the value"


def path_text(keys: list[Any]) -> str:
    """`["steps", "a", 0, "x y"]` as `steps.a[0]['x y']`."""
    text = str(keys[0])
    for key in keys[1:]:
        text += f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
    return text
