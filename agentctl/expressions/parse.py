"""Source of expressions -> `Template`. Jinja2 lends its grammar, and nothing else of it is used: its parser's nodes become
our own small tree (see `tree`), and what is not in that tree's table cannot be written."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.limits import MAX_BRACKETS, MAX_SOURCE
from agentctl.expressions.scan import Part, scan
from agentctl.expressions.template import Template
from agentctl.expressions.tree import Tree

_KEPT = 8192  # texts: the checks of a file and its build ask for the same ones, and each is parsed once

__all__ = ["Part", "parse_expression", "parse_value", "scan"]


def parse_expression(source: Any) -> Template:
    """A bare expression, as in `if:`; `${{ }}` around the whole of it is allowed. A source that is no string (a YAML
    boolean, say) is a literal. Raises ExpressionError with the offset from the start of `source`."""
    return _expression(source) if isinstance(source, str) else Template(_literal(source), str(source))


@lru_cache(_KEPT)
def _expression(source: str) -> Template:
    stripped = source.strip()
    if stripped.startswith("${{"):
        parts = scan(source)
        expressions = [part for part in parts if part.is_expression]
        if len(expressions) != 1 or any(part.text.strip() for part in parts if not part.is_expression):
            raise ExpressionError("expected one expression, bare or as a whole inside `${{ }}`", offset=0)
        return Template(_tree(expressions[0].text, expressions[0].offset), source)
    return Template(_tree(source, 0), source)


def parse_value(value: Any) -> Template:
    """Any YAML value: strings with `${{ }}` inside become templates, keys of mappings too; the rest is literal.
    Raises ExpressionError with the offset from the start of the string in which the mistake is."""
    return Template(_value(value), value if isinstance(value, str) else "")


def _value(value: Any) -> Tree:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, dict):
        if any("${{" in key for key in value):
            return ["entries", *([_string(key), _value(item)] for key, item in value.items())]
        trees = {key: _value(item) for key, item in value.items()}
        if all(tree[0] == "lit" for tree in trees.values()):
            return ["lit", {key: tree[1] for key, tree in trees.items()}]
        return ["map", trees]
    if isinstance(value, list):
        items = [_value(item) for item in value]
        return ["lit", [tree[1] for tree in items]] if all(tree[0] == "lit" for tree in items) else ["seq", *items]
    return _literal(value)


def _literal(value: Any) -> Tree:
    from agentctl.expressions.convert import literal

    return literal(value)


def _string(text: str) -> Tree:
    return _text(text) if "${{" in text else ["lit", text]


@lru_cache(_KEPT)
def _text(text: str) -> Tree:
    parts = scan(text)
    if len(parts) == 1:
        only = parts[0]
        return _tree(only.text, only.offset) if only.is_expression else ["lit", only.text]
    return ["text", *(_tree(part.text, part.offset) if part.is_expression else part.text for part in parts)]


def _tree(source: str, offset: int) -> Tree:
    """The tree of one expression that begins at `offset` of the text in which the user wrote it."""
    from agentctl.expressions.convert import convert

    if not source.strip():
        raise ExpressionError("expected an expression, found nothing", offset=offset)
    if len(source) > MAX_SOURCE:
        raise ExpressionError(f"the expression is longer than {MAX_SOURCE:,} characters", offset=offset)
    if _brackets(source) > MAX_BRACKETS:
        raise ExpressionError(f"the expression has more than {MAX_BRACKETS} brackets open at once", offset=offset)
    try:
        return convert(source, offset)
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply", offset=offset) from None


def _brackets(source: str) -> int:
    """How many brackets are open at once, strings aside."""
    deepest = depth = 0
    for character in re.sub(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", "", source, flags=re.DOTALL):
        if character in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in ")]}":
            depth -= 1
    return deepest
