"""Where an expression does more with a secret than insert it: what `language` refuses before anything runs.

Not everything can be seen: a secret that was put into a list or a mapping and taken out again is found when the expression
is evaluated.
"""

from __future__ import annotations

from functools import lru_cache

from agentctl.errors import ExpressionError
from agentctl.expressions.references import references
from agentctl.expressions.template import Template
from agentctl.expressions.tree import Tree, children
from agentctl.expressions.values import Ref, SecretNames, SecretText

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
    if tree[0] in ("dict", "entries"):
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


class _AnySecret(SecretNames):
    """Every secret exists: which ones do is asked when their values are read."""

    def get(self, name: str) -> SecretText:
        return SecretText((Ref(name),))


@lru_cache(maxsize=256)
def secret_parts(text: str) -> tuple[tuple[str, str], ...]:
    """Split a setting such as `Bearer ${{ secrets.KEY }}` into pairs: literal text, and the name of the secret after it or "".

    Raises ExpressionError for an expression that is anything but one secret.
    """
    from agentctl.expressions.parse import parse_value

    template = parse_value(text)
    if any(reference.path[0] != "secrets" for reference in references(template)):
        raise ExpressionError("only secrets can be inserted here: ${{ secrets.NAME }}", offset=0)
    value = template.evaluate({"secrets": _AnySecret(())})
    if not isinstance(value, str | SecretText):
        raise ExpressionError("expected text: ${{ secrets.NAME }}", offset=0)
    parts = (value,) if isinstance(value, str) else value.parts
    return tuple(("", part.name) if isinstance(part, Ref) else (part, "") for part in parts)
