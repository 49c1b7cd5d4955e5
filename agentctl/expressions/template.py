"""`Template`: a value with `${{ }}` inside, compiled once to a small tree of our own, evaluated many times.

The tree is JSON (nested lists: `[op, ...]`), so a compiled definition can be stored and read back without Jinja.
`expressions.parse` makes it, `expressions.evaluate` turns it into a closure the first time it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec

from agentctl.expressions.tree import names_secrets


class Template(msgspec.Struct, frozen=True, dict=True, array_like=True):
    """`tree`: see `expressions.tree`.  `source`: what the user wrote, for messages."""

    tree: Any
    source: str = ""

    @cached_property
    def evaluate(self) -> Callable[[Any], Any]:
        """The closure `scope -> value`. `scope` maps the top-level names; raises ExpressionError."""
        from agentctl.expressions.evaluate import build

        return build(self.tree)

    @property
    def is_literal(self) -> bool:
        """True when there is no expression inside: the value never changes."""
        return bool(self.tree[0] == "lit")

    @cached_property
    def names_secrets(self) -> bool:
        """Whether its value may hold references to secrets. Most cannot, and need no walk to find them."""
        return names_secrets(self.tree)
