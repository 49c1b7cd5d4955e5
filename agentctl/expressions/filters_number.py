"""Filters on numbers."""

from __future__ import annotations

import math
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.operators import checked
from agentctl.expressions.values import a_kind

_MAX_PRECISION = 300  # digits; a float has no more
_BYTES = ("Bytes", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


def _number(value: Any) -> Any:
    if not isinstance(value, (int, float)):
        raise ExpressionError(f"expected a number, not {a_kind(value)}")
    return value


def absolute(value: Any) -> Any:
    return abs(_number(value))


def integer(value: Any, default: Any = 0, base: int = 10) -> Any:
    """The integer that `value` is or reads as, its fraction cut off; `default` for anything else."""
    try:
        return checked(int(value, base) if isinstance(value, str) else int(value))
    except (TypeError, ValueError):
        try:
            return checked(int(float(value)))
        except (TypeError, ValueError, OverflowError):
            return default


def floating(value: Any, default: Any = 0.0) -> Any:
    """The number that `value` is or reads as; `default` for anything else, NaN and infinity included."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return number if math.isfinite(number) else default


def rounded(value: Any, precision: int = 0, method: str = "common") -> Any:
    if method not in ("common", "ceil", "floor"):
        raise ExpressionError("the method must be 'common', 'ceil' or 'floor'")
    if abs(precision) > _MAX_PRECISION:
        raise ExpressionError(f"the precision must be within {_MAX_PRECISION} digits")
    if method == "common":
        return checked(round(_number(value), precision))
    towards = math.ceil if method == "ceil" else math.floor
    return checked(towards(_number(value) * 10**precision) / 10**precision)


def filesizeformat(value: Any, binary: bool = False) -> str:
    """Bytes for people: `13 Bytes`, `4.1 kB`; `binary`: in steps of 1024, `4.0 KiB`."""
    size, base = float(value), 1024 if binary else 1000
    if size == 1:
        return "1 Byte"
    if size < base:
        return f"{int(size)} Bytes"
    power = 1
    while size >= base ** (power + 1) and power < len(_BYTES) - 1:
        power += 1
    unit = _BYTES[power]
    return f"{size / base**power:.1f} {unit[0].upper() + 'iB' if binary else unit}"
