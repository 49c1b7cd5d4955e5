"""Which names an expression refers to: what `language` checks before anything runs, and derives needs from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from agentctl.expressions.template import Template
from agentctl.expressions.tree import Tree, children, tolerates


class Reference(NamedTuple):
    """`path`: the name and the constant keys after it, up to the first computed one.
    `offset`: characters from the start of the string in which it stands.
    `optional`: it may be undefined (it stands before `default` or `is defined`)."""

    path: tuple[str | int, ...]
    offset: int
    optional: bool = False


def references(template: Template) -> list[Reference]:
    """Every static name path of a template, in the order of the tree, repeated ones repeated."""
    found: list[Reference] = []
    _collect(template.tree, False, found)
    return found


def templates_in(value: Any) -> Iterator[Template]:
    """Every template in a definition, or in a part of one."""
    if isinstance(value, Template):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from templates_in(getattr(value, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from templates_in(item)
    elif isinstance(value, dict):
        yield from templates_in(list(value.values()))


def _collect(tree: Tree, optional: bool, found: list[Reference]) -> None:
    if tree[0] == "path":
        found.append(Reference(tuple(tree[2:]), tree[1], optional))
        return
    looked_through = _looked_through(tree, optional)
    for child in children(tree):
        _collect(child, any(child is one for one in looked_through), found)


def _looked_through(tree: Tree, optional: bool) -> list[Tree]:
    """The children of `tree` that may be undefined when `optional` says so of the tree itself."""
    if tree[0] in ("default", "defined"):
        return [tree[1], *(tree[2:3] if optional else [])]
    if not optional or not tolerates(tree):
        return []
    if tree[0] == "if":
        return [tree[2], tree[3]]
    return [tree[2]] if tree[0] == "filter" else [tree[1]]


def needed_secrets(definition: Any) -> frozenset[str]:
    """Return the secrets that a definition needs: those that it names, without those it tests by `is defined` or `default`."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for template in templates_in(definition):
        for reference in references(template):
            if reference.path[0] == "secrets" and len(reference.path) > 1:
                found[reference.optional].add(str(reference.path[1]))
    return frozenset(found[False] - found[True])
