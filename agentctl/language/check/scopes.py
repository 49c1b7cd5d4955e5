"""What an expression can see: the lists of steps around it, and the names beside those that are always there."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentctl.errors import ExpressionError
from agentctl.expressions.parse import parse_expression
from agentctl.expressions.references import references
from agentctl.language.vocabulary import ALWAYS
from agentctl.language.yaml.tree import Place


@dataclass
class Frame:
    """A list of steps under way. `current`: the step the walk is inside of; None once the list is done.

    `own`: inside an undo step, the step it undoes, whose result it may use.
    """

    ids: dict[str, int]
    current: int | None = None
    own: str | None = None
    refs: dict[int, dict[str, Place]] = field(default_factory=dict)  # step -> referred id -> where


@dataclass(frozen=True)
class Scope:
    """What an expression can see: the lists around it and the names beside those always there.

    `no_secrets`: what to call the place when a secret has no business there; None where one may be used.
    """

    frames: tuple[Frame, ...] = ()
    names: frozenset[str] = frozenset()
    no_secrets: str | None = None
    only: frozenset[str] | None = None  # in triggers and flow control: the names there are
    item: str | None = None  # what the innermost foreach calls its item

    def inside(self, frame: Frame) -> Scope:
        return Scope((*self.frames, frame), self.names, item=self.item)

    def knowing(self, *names: str) -> Scope:
        return Scope(self.frames, self.names | set(names), item=self.item)

    def each(self, item: str, *, one_by_one: bool) -> Scope:
        """Of what a foreach does. Not one by one: the item before may not have ended, so there is no `last`."""
        names = {item, "index", *(["last"] if one_by_one else [])}
        return Scope(self.frames, self.names - {"last"} | names, item=item)

    def without_secrets(self, where: str) -> Scope:
        return Scope(self.frames, self.names, where, self.only, self.item)

    @property
    def known(self) -> frozenset[str]:
        return ALWAYS | self.names if self.only is None else self.only


def is_bare_expression(key: object, scope: Scope) -> bool:
    """Whether a key is an expression without `${{ }}`: it reads as one, about a value that there is, be it elsewhere.

    As a text it would put all together, which nobody means who names a value; `daily` is a text.
    """
    if not isinstance(key, str) or "${{" in key:
        return False
    try:
        found = references(parse_expression(key))
    except ExpressionError:
        return False
    return any(name.path[0] in scope.names or (len(name.path) > 1 and name.path[0] in ALWAYS) for name in found)
