"""The tests after `is`, but for `defined` and `undefined`, which are ops: `CHECKS` maps names to `(value, *args) -> bool`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentctl.expressions.operators import COMPARISONS, modulo
from agentctl.expressions.values import to_text


def is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _compared(sign: str) -> Callable[[Any, Any], bool]:
    holds = COMPARISONS[sign]

    def compare(value: Any, other: Any) -> bool:
        return holds(value, other)

    return compare


CHECKS: dict[str, Callable[..., bool]] = {
    "none": lambda value: value is None,
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)),  # booleans too, as in Jinja
    "integer": is_integer,
    "float": lambda value: isinstance(value, float),
    "boolean": lambda value: isinstance(value, bool),
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "string": lambda value: isinstance(value, str),
    "mapping": lambda value: isinstance(value, dict),
    "sequence": lambda value: isinstance(value, (list, dict, str)),  # what has a length, as in Jinja
    "iterable": lambda value: isinstance(value, (list, dict, str)),
    "lower": lambda value: to_text(value).islower(),
    "upper": lambda value: to_text(value).isupper(),
    "odd": lambda value: modulo(value, 2) == 1,
    "even": lambda value: modulo(value, 2) == 0,
    "divisibleby": lambda value, num: modulo(value, num) == 0,
    "in": lambda value, seq: COMPARISONS["in"](value, seq),
    **dict.fromkeys(("==", "eq", "equalto"), _compared("==")),
    **dict.fromkeys(("!=", "ne"), _compared("!=")),
    **dict.fromkeys((">", "gt", "greaterthan"), _compared(">")),
    **dict.fromkeys((">=", "ge"), _compared(">=")),
    **dict.fromkeys(("<", "lt", "lessthan"), _compared("<")),
    **dict.fromkeys(("<=", "le"), _compared("<=")),
}
