"""The grammar of step paths. No other module takes a path apart.

    path    = part *("." part)
    part    = id ["@" round] ["[" number "]"]

    each[2].probe           a step in item 2 of `each` (items and iterations count from 0)
    poll@2[0].look          ... in the second round of `poll`
    charge.undo             the undo step of `charge`
    assess.fallback.rule    a step of the fallback of `assess`
    on_failure@2.notify     a handler, as it runs after a second failure
    find.turn[3].call[0]    a call of a turn of the agent `find`; also `find.compact[0]`, `find.deferred[0]`

A round is a further execution of the same list, such as that of a retried group. The first one has no number.
In a pattern `*` stands for one id or for one number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

_PART = re.compile(r"(?P<id>[a-z_][a-z0-9_]*|\*)(?:@(?P<round>\d+))?(?:\[(?P<number>\d+|\*)\])?")
_ROUND = re.compile(r"@\d+")
_NUMBER = re.compile(r"\[\d+\]")
_LAST_STEP_UP = re.compile(r"(\.[^.\[@]+|\[\d+\]|@\d+)$")
_ITERATION = re.compile(r"(@\d+)?\[\d+\]$")
_JOINT = re.compile(r"[.\[]")


class Part(NamedTuple):
    """One part of a path. `number`: of the item, the iteration, the turn; `*` in a pattern."""

    id: str
    round: int = 1
    number: int | str | None = None


def parse_path(path: str) -> tuple[Part, ...]:
    """Take a path or a pattern apart. Raises ValueError for a text that is neither."""
    return tuple(map(_parse_part, path.split(".")))


def _parse_part(text: str) -> Part:
    match = _PART.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no part of a step's path")
    number = match["number"]
    return Part(match["id"], int(match["round"] or 1), number if number in (None, "*") else int(number))


def format_path(parts: Iterable[Part]) -> str:
    """Join parts to a path: the inverse of `parse_path`."""
    return ".".join(map(_format_part, parts))


def _format_part(part: Part) -> str:
    round = "" if part.round == 1 else f"@{part.round}"
    return f"{part.id}{round}" + ("" if part.number is None else f"[{part.number}]")


def without_rounds(path: str) -> str:
    """The path of a step as it is in every round: `g@2.each[3].send` is `g.each[3].send`."""
    return _ROUND.sub("", path) if "@" in path else path


def idempotency_key(run_id: str, path: str) -> str:
    """`RUN/path` without rounds: the same over all attempts and rounds of a step."""
    return f"{run_id}/{without_rounds(path)}"


def declared_path(path: str) -> str:
    """The path of a step as it stands in the definition: `g@2.each[3].send` is `g.each.send`."""
    path = without_rounds(path)
    return _NUMBER.sub("", path) if "[" in path else path


def for_any_number(path: str) -> str:
    """The pattern of the path with every number: `each[3].send` becomes `each[*].send`."""
    return _NUMBER.sub("[*]", path)


def parent_path(path: str) -> str:
    """One level up: `each[2].probe`, `each[2]`, `each`, ``."""
    match = _LAST_STEP_UP.search(path)
    return path[: match.start()] if match else ""


def repeated_step(path: str) -> str:
    """The path of the step that an item or iteration belongs to: `poll@2[3]` is of `poll`."""
    return _ITERATION.sub("", path)


def holders(path: str) -> Iterator[str]:
    """Every path that holds this one, outermost first: `a@2[1].b` is held by `a@2` and `a@2[1]`."""
    return (path[: match.start()] for match in _JOINT.finditer(path))


def split_round(path: str) -> tuple[str, int]:
    """The path without rounds, and the number of the round at its end: `g@2` is (`g`, 2), `g.send` is (`g.send`, 1)."""
    base, mark, round = path.rpartition("@")
    return (without_rounds(base), int(round)) if mark and round.isdigit() else (without_rounds(path), 1)


@lru_cache(4096)
def matcher(pattern: str) -> Callable[[str], object]:
    """Return a function that is true of the paths that fit `pattern`. A pattern without rounds fits every round."""
    expression = re.escape(pattern).replace(r"\[\*\]", r"\[\d+\]").replace(r"\*", "[a-z0-9_]+")
    fits = re.compile(expression).fullmatch
    return fits if "@" in pattern else lambda path: fits(without_rounds(path))
