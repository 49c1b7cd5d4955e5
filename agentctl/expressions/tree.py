"""Looking at trees without evaluating them. What each op means is written on top of `evaluate`."""

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
