"""Where an expression does more with a secret than insert it: what `language` refuses before anything runs.

Not everything can be seen: a secret that was put into a list or a mapping and taken out again is found when the expression
is evaluated.
"""

from __future__ import annotations

from agentctl.expressions.template import Template
from agentctl.expressions.tree import Tree, children

_INSERTED = frozenset({"text", "seq", "map", "list", "defined"})


def misused_secrets(template: Template, *, is_condition: bool = False) -> list[int]:
    """The offsets of secrets that are compared, filtered or computed with; of a condition, those that would be its value, too."""
    found: list[int] = _handed_on(template.tree) if is_condition else []
    _collect(template.tree, found)
    return sorted(set(found))


def _collect(tree: Tree, found: list[int]) -> None:
    if tree[0] == "path":
        if tree[2] == "secrets" and len(tree) > 4:  # a key is looked up in it
            found.append(tree[1])
        return
    for operand in _operands(tree):
        found += _handed_on(operand)
    for child in children(tree):
        _collect(child, found)


def _operands(tree: Tree) -> list[Tree]:
    """The trees directly inside a tree whose values it looks at, rather than hands on or inserts."""
    if tree[0] in _INSERTED:
        return []
    if tree[0] in ("and", "or", "if"):
        return [tree[1]]
    if tree[0] == "default":
        return [flag for flag in tree[3:] if flag is not None]
    if tree[0] == "dict":
        return [key for key, _ in tree[1:]]
    return children(tree)


def _handed_on(tree: Tree) -> list[int]:
    """The offsets of the secrets that the value of a tree may be."""
    if tree[0] == "path":
        return [tree[1]] if tree[2] == "secrets" and len(tree) == 4 else []
    if tree[0] in ("and", "or"):
        return _handed_on(tree[2])
    if tree[0] == "default":
        return _handed_on(tree[1]) + _handed_on(tree[2])
    if tree[0] == "if":
        return _handed_on(tree[2]) + (_handed_on(tree[3]) if tree[3] is not None else [])
    return []
