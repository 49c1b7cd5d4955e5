"""The tree of an expression, made into a closure. Nothing of Jinja2 is needed, or imported, here. `tree` says
what each op means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.limits import MAX_BITS, MAX_WORK, spend, spend_items, spend_text, work
from agentctl.expressions.operators import BINARY, COMPARISONS, UNARY, add, concat
from agentctl.expressions.paths import compile_path
from agentctl.expressions.tree import Tree, all_ops, label, tolerates
from agentctl.expressions.undefined import EMPTY, Undefined, look_up
from agentctl.expressions.values import (
    SECRET_MISUSE,
    Lookup,
    SecretText,
    a_kind,
    check_built,
    plain,
    to_text,
)

Closure = Callable[[Any], Any]

_SCALARS = frozenset({str, int, float, bool, type(None)})
# Ops that hand on what they find and build nothing: their evaluation needs no work counter, their value no check.
_GIVEN = frozenset({"lit", "int", "path", "item", "if", "and", "or", "not", "defined", "default"})


def build(tree: Tree) -> Closure:
    """The closure `scope -> JSON value` (with SecretText where a secret is inserted) of a whole template.
    The closure raises ExpressionError. What it returns may share parts with the scope: do not change it."""
    if tree[0] == "lit":
        literal = tree[1]
        return lambda scope: literal
    inner = _final(tree)
    if all(op in _GIVEN for op in all_ops(tree)):
        return _guarded(inner)

    def counted(scope: Any) -> Any:
        before, work.left = work.left, MAX_WORK
        try:
            return inner(scope)
        finally:
            work.left = before
            if work.until is not None:
                work.reset()

    return _guarded(counted)


def _guarded(inner: Closure) -> Closure:
    def evaluate(scope: Any) -> Any:
        try:
            return inner(scope)
        except Undefined as undefined:
            raise undefined.as_error() from None
        except ZeroDivisionError:
            raise ExpressionError("division by zero") from None
        except OverflowError:
            raise ExpressionError("the number is too large") from None
        except RecursionError:
            raise ExpressionError("a value is nested too deeply") from None

    return evaluate


def _final(tree: Tree) -> Closure:
    """The closure of a value that leaves the evaluation: a namespace becomes JSON, a built value is checked."""
    inner = compile_path(tree, keeps_references=True) if tree[0] == "path" else _compile(tree)
    if tree[0] in ("text", "seq", "map", "entries"):
        return inner
    built = not all(op in _GIVEN for op in all_ops(tree))

    def final(scope: Any) -> Any:
        value = inner(scope)
        if value.__class__ in _SCALARS:
            return value
        if isinstance(value, Lookup):
            return value.to_json()
        if built:
            check_built(value, secrets=True)
        return value

    return final


def _compile(tree: Tree) -> Closure:
    return _COMPILERS[tree[0]](tree)


def _strict(tree: Tree) -> Closure:
    """A tree beside the way that `default` looks along (a subscript, the test of an `if`): undefined here is an error."""
    inner = _compile(tree)
    if tree[0] == "lit":
        return inner

    def strict(scope: Any) -> Any:
        try:
            return inner(scope)
        except Undefined as undefined:
            raise undefined.as_error() from None

    return strict


def _literal(tree: Tree) -> Closure:
    value = tree[1]
    return lambda scope: value


def _big_integer(tree: Tree) -> Closure:
    value = int(tree[1])
    return lambda scope: value


def _item(tree: Tree) -> Closure:
    base, key, name = _compile(tree[1]), _strict(tree[2]), label(tree[1])
    offset = tree[1][1] if tree[1][0] == "path" else None

    def item(scope: Any) -> Any:
        return look_up(base(scope), key(scope), name, offset)

    return item


def _slice(tree: Tree) -> Closure:
    base, bounds = _compile(tree[1]), [_strict(bound or ["lit", None]) for bound in tree[2:]]

    def sliced(scope: Any) -> Any:
        value, ends = base(scope), [bound(scope) for bound in bounds]
        if not isinstance(value, (str, list)):
            raise ExpressionError(SECRET_MISUSE if isinstance(value, SecretText) else f"cannot slice {a_kind(value)}")
        if not all(end is None or isinstance(end, int) for end in ends) or ends[2] == 0:
            raise ExpressionError("a slice takes integers, and its step is not 0")
        spend(1 + len(value) // (64 if isinstance(value, str) else 1))
        return value[slice(*ends)]

    return sliced


def _and(tree: Tree) -> Closure:
    a, b = _compile(tree[1]), _compile(tree[2])
    return lambda scope: a(scope) and b(scope)


def _or(tree: Tree) -> Closure:
    a, b = _compile(tree[1]), _compile(tree[2])
    return lambda scope: a(scope) or b(scope)


def _not(tree: Tree) -> Closure:
    a = _compile(tree[1])
    return lambda scope: not a(scope)


def _if(tree: Tree) -> Closure:
    test, then = _strict(tree[1]), _compile(tree[2])
    if tree[3] is not None:
        otherwise = _compile(tree[3])
        return lambda scope: then(scope) if test(scope) else otherwise(scope)

    def without_else(scope: Any) -> Any:
        if test(scope):
            return then(scope)
        raise Undefined(EMPTY, None, "the condition of `if` is false and there is no `else`")

    return without_else


def _compare(tree: Tree) -> Closure:
    if len(tree) == 4:
        return _compare_once(tree)
    first = _compile(tree[1])
    rest = [(COMPARISONS[sign], _compile(operand)) for sign, operand in zip(tree[2::2], tree[3::2], strict=True)]

    def chained(scope: Any) -> bool:
        left = first(scope)
        for holds, operand in rest:
            right = operand(scope)
            if not holds(left, right):
                return False
            left = right
        return True

    return chained


def _compare_once(tree: Tree) -> Closure:
    a, sign, b = _compile(tree[1]), tree[2], _compile(tree[3])
    holds = COMPARISONS[sign]
    if sign != "==":
        return lambda scope: holds(a(scope), b(scope))

    def equals(scope: Any) -> bool:
        left, right = a(scope), b(scope)
        if left.__class__ in _SCALARS and right.__class__ in _SCALARS:
            return bool(left == right)
        return holds(left, right)

    return equals


def _binary(tree: Tree) -> Closure:
    operate, a, b = BINARY[tree[0]], _compile(tree[1]), _compile(tree[2])
    if operate is add and tree[2][0] == "lit" and tree[2][1].__class__ is int:
        return _add_constant(a, tree[2][1])
    return lambda scope: operate(a(scope), b(scope))


def _add_constant(a: Closure, number: int) -> Closure:
    largest = 1 << (MAX_BITS - 1)

    def add_constant(scope: Any) -> Any:
        value = a(scope)
        if value.__class__ is int and -largest < value < largest:
            return value + number
        return add(value, number)

    return add_constant


def _unary(tree: Tree) -> Closure:
    operate, a = UNARY[tree[0]], _compile(tree[1])
    return lambda scope: operate(a(scope))


def _concat(tree: Tree) -> Closure:
    operands = [_compile(operand) for operand in tree[1:]]
    return lambda scope: concat([operand(scope) for operand in operands])


def _list(tree: Tree) -> Closure:
    items = [_compile(item) for item in tree[1:]]
    return lambda scope: [plain(item(scope)) for item in items]


def _dict(tree: Tree) -> Closure:
    pairs = [(_compile(key), _compile(value)) for key, value in tree[1:]]

    def mapping(scope: Any) -> dict[str, Any]:
        built = {}
        for key, value in pairs:
            name = key(scope)
            if not isinstance(name, str):
                raise ExpressionError(f"a key of a mapping must be a string, not {a_kind(name)}")
            built[name] = plain(value(scope))
        return built

    return mapping


def _range(tree: Tree) -> Closure:
    bounds = [_compile(bound) for bound in tree[1:]]

    def numbers(scope: Any) -> list[int]:
        values = [bound(scope) for bound in bounds]
        for value in values:
            if not isinstance(value, int):
                raise ExpressionError(f"range takes integers, not {a_kind(value)}")
        if len(values) == 3 and values[2] == 0:
            raise ExpressionError("the step of range must not be 0")
        span = range(*values)
        spend_items(len(span))
        return list(span)

    return numbers


def _default(tree: Tree) -> Closure:
    base, fallback = _tolerant(tree[1]), _compile(tree[2])
    also_false = _compile(tree[3]) if tree[3] is not None else None

    def default(scope: Any) -> Any:
        try:
            value = base(scope)
        except Undefined:
            return fallback(scope)
        if also_false is not None and also_false(scope) and not value:
            return fallback(scope)
        return value

    return default


def _defined(tree: Tree) -> Closure:
    base = _tolerant(tree[1])

    def defined(scope: Any) -> bool:
        try:
            base(scope)
        except Undefined:
            return False
        return True

    return defined


def _tolerant(tree: Tree) -> Closure:
    return _compile(tree) if tolerates(tree) else _strict(tree)


def _applied(tree: Tree) -> Closure:
    from agentctl.expressions.apply import COMPILERS  # filters and tests: only when one is used

    return COMPILERS[tree[0]](tree, _compile, _strict)


def _text(tree: Tree) -> Closure:
    parts = [part if isinstance(part, str) else _compile(part) for part in tree[1:]]

    def text(scope: Any) -> Any:
        texts: list[Any] = []
        secret = False
        for part in parts:
            value = part if isinstance(part, str) else part(scope)
            if isinstance(value, SecretText):
                secret = True
                texts.extend(value.parts)
            else:
                texts.append(to_text(value))
        spend_text(sum(len(piece) for piece in texts if piece.__class__ is str))
        return SecretText(tuple(texts)) if secret else "".join(texts)

    return text


def _sequence(tree: Tree) -> Closure:
    items = [_final(item) for item in tree[1:]]
    return lambda scope: [item(scope) for item in items]


def _mapping(tree: Tree) -> Closure:
    values = [(key, _final(value)) for key, value in tree[1].items()]
    return lambda scope: {key: value(scope) for key, value in values}


def _entries(tree: Tree) -> Closure:
    pairs = [(_final(key), _final(value)) for key, value in tree[1:]]

    def entries(scope: Any) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, value in pairs:
            name = to_text(key(scope))
            if name in built:
                raise ExpressionError(f"two keys of the mapping are '{name}'")
            built[name] = value(scope)
        return built

    return entries


_COMPILERS: dict[str, Callable[[Tree], Closure]] = {
    "lit": _literal,
    "int": _big_integer,
    "path": compile_path,
    "item": _item,
    "slice": _slice,
    "and": _and,
    "or": _or,
    "not": _not,
    "if": _if,
    "cmp": _compare,
    **dict.fromkeys(BINARY, _binary),
    **dict.fromkeys(UNARY, _unary),
    "~": _concat,
    "list": _list,
    "dict": _dict,
    "range": _range,
    "default": _default,
    "defined": _defined,
    "filter": _applied,
    "test": _applied,
    "map_attribute": _applied,
    "map_filter": _applied,
    "select": _applied,
    "text": _text,
    "seq": _sequence,
    "map": _mapping,
    "entries": _entries,
}
