"""Arithmetic and comparison on JSON values, as in Python, with bounds, and errors in the words of the user."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

from agentctl.errors import ExpressionError
from agentctl.expressions.limits import MAX_BITS, spend, spend_items, spend_text, work
from agentctl.expressions.values import SECRET_MISUSE, Lookup, SecretText, a_kind, check_built, plain, to_text

_LARGEST = 1 << MAX_BITS


def checked(number: Any) -> Any:
    """`number` if JSON and our bounds allow it. Raises ExpressionError for NaN, infinity, complex and huge ones."""
    if isinstance(number, int):
        if -_LARGEST < number < _LARGEST:
            return number
        raise ExpressionError(f"the number is too large (more than {MAX_BITS} bits)")
    if isinstance(number, float) and math.isfinite(number):
        return number
    raise ExpressionError("the result is not a finite real number")


def _numbers(a: Any, b: Any) -> bool:
    return isinstance(a, (int, float)) and isinstance(b, (int, float))


def _refuse(message: str, *values: Any) -> NoReturn:
    raise ExpressionError(SECRET_MISUSE if any(isinstance(value, SecretText) for value in values) else message)


def add(a: Any, b: Any) -> Any:
    if _numbers(a, b):
        return checked(a + b)
    if isinstance(a, str) and isinstance(b, str):
        spend_text(len(a) + len(b))
        return a + b
    if isinstance(a, list) and isinstance(b, list):
        spend_items(len(a) + len(b))
        return a + b
    _refuse(f"cannot add {a_kind(a)} and {a_kind(b)}", a, b)


def subtract(a: Any, b: Any) -> Any:
    if _numbers(a, b):
        return checked(a - b)
    _refuse(f"cannot subtract {a_kind(b)} from {a_kind(a)}", a, b)


def multiply(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        if a.bit_length() + b.bit_length() > MAX_BITS + 1:
            raise ExpressionError(f"the number is too large (more than {MAX_BITS} bits)")
        return checked(a * b)
    if _numbers(a, b):
        return checked(a * b)
    if isinstance(a, int) and isinstance(b, (str, list)):
        a, b = b, a
    if isinstance(a, (str, list)) and isinstance(b, int):
        return _repeated(a, max(b, 0))
    _refuse(f"cannot multiply {a_kind(a)} by {a_kind(b)}", a, b)


def _repeated(value: Any, times: int) -> Any:
    if isinstance(value, str):
        spend_text(len(value) * times)
        return value * times
    spend_items(len(value) * times)
    before = work.left
    check_built(value, secrets=True)
    spend((before - work.left) * times)  # [[...]] * n holds its inner lists n times
    return value * times


def divide(a: Any, b: Any) -> Any:
    if _numbers(a, b):
        return checked(a / b)
    _refuse(f"cannot divide {a_kind(a)} by {a_kind(b)}", a, b)


def floor_divide(a: Any, b: Any) -> Any:
    if _numbers(a, b):
        return checked(a // b)
    _refuse(f"cannot divide {a_kind(a)} by {a_kind(b)}", a, b)


def modulo(a: Any, b: Any) -> Any:
    if _numbers(a, b):
        return checked(a % b)
    if isinstance(a, str):
        _refuse("`%` works on numbers; to format a string, use the filter `format`", a, b)
    _refuse(f"cannot take {a_kind(a)} modulo {a_kind(b)}", a, b)


def power(a: Any, b: Any) -> Any:
    if not _numbers(a, b):
        _refuse(f"cannot raise {a_kind(a)} to the power of {a_kind(b)}", a, b)
    if isinstance(a, int) and isinstance(b, int) and b > 0 and abs(a) > 1 and (abs(a).bit_length() - 1) * b > MAX_BITS:
        raise ExpressionError(f"the number is too large (more than {MAX_BITS} bits)")
    return checked(a**b)


def negate(a: Any) -> Any:
    if isinstance(a, (int, float)):
        return -a
    _refuse(f"cannot negate {a_kind(a)}", a)


def positive(a: Any) -> Any:
    if isinstance(a, (int, float)):
        return +a
    _refuse(f"cannot take {a_kind(a)} as a number", a)


def concat(values: list[Any]) -> str:
    """`a ~ b`: the texts of the values, one after the other."""
    texts = [to_text(value) for value in values]
    spend_text(sum(map(len, texts)))
    return "".join(texts)


def _comparable(a: Any, b: Any) -> tuple[Any, Any]:
    if isinstance(a, SecretText) or isinstance(b, SecretText):
        raise ExpressionError(SECRET_MISUSE)
    a, b = plain(a), plain(b)
    if isinstance(a, (list, dict)) and isinstance(b, (list, dict)):
        check_built(a)
        check_built(b)
    return a, b


def equal(a: Any, b: Any) -> bool:
    a, b = _comparable(a, b)
    return bool(a == b)


def unequal(a: Any, b: Any) -> bool:
    return not equal(a, b)


def _ordering(compare: Callable[[Any, Any], Any], sign: str) -> Callable[[Any, Any], bool]:
    def ordered(a: Any, b: Any) -> bool:
        a, b = _comparable(a, b)
        try:
            return bool(compare(a, b))
        except TypeError:
            raise ExpressionError(f"cannot compare {a_kind(a)} with {a_kind(b)} (`{sign}`)") from None

    return ordered


def contains(container: Any, item: Any) -> bool:
    """`item in container`: a part of a string, an item of a list, a key of a mapping."""
    if isinstance(item, SecretText) or isinstance(container, SecretText):
        raise ExpressionError(SECRET_MISUSE)
    if isinstance(container, str):
        if isinstance(item, str):
            spend_text(len(container))
            return item in container
        raise ExpressionError(f"cannot look for {a_kind(item)} in a string")
    if isinstance(container, list):
        item = plain(item)
        check_built(container, secrets=True)
        return item in container
    if isinstance(container, Lookup):
        return isinstance(item, str) and item in container.names()
    if isinstance(container, dict):
        return isinstance(item, str) and item in container
    raise ExpressionError(f"cannot look for {a_kind(item)} in {a_kind(container)}")


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "//": floor_divide,
    "%": modulo,
    "**": power,
}
UNARY: dict[str, Callable[[Any], Any]] = {"neg": negate, "pos": positive}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": equal,
    "!=": unequal,
    "<": _ordering(operator.lt, "<"),
    "<=": _ordering(operator.le, "<="),
    ">": _ordering(operator.gt, ">"),
    ">=": _ordering(operator.ge, ">="),
    "in": lambda item, container: contains(container, item),
    "not in": lambda item, container: not contains(container, item),
}
