"""Filters on lists and mappings. Where Jinja hands out tuples or generators, these return lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agentctl import JSON
from agentctl.errors import ExpressionError
from agentctl.expressions.attributes import getter, sort_key
from agentctl.expressions.limits import spend, spend_items, spend_text
from agentctl.expressions.operators import add
from agentctl.expressions.undefined import EMPTY, Undefined
from agentctl.expressions.values import SecretText, a_kind, check_built, to_json, to_text


def _items(value: Any) -> list[Any]:
    """What is gone through: the items of a list, the keys of a mapping, the characters of a string."""
    if not isinstance(value, (list, dict, str)):
        raise ExpressionError(f"expected a list, not {a_kind(value)}")
    spend_items(len(value))
    return list(value)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ExpressionError(f"expected a mapping, not {a_kind(value)}")
    spend_items(len(value))
    return value


def _sorted(items: list[Any], key: Callable[[Any], Any], reverse: bool) -> list[Any]:
    check_built(items)
    spend(len(items) * len(items).bit_length() // 4)
    try:
        return sorted(items, key=key, reverse=bool(reverse))
    except TypeError:
        raise ExpressionError("the items cannot be compared with each other") from None


def length(value: Any) -> int:
    if not isinstance(value, (str, list, dict)):
        raise ExpressionError(f"{a_kind(value)} has no length")
    return len(value)


def first(value: Any) -> Any:
    if isinstance(value, (str, list)) and value:
        return value[0]
    for item in _items(value):
        return item
    raise Undefined(EMPTY, None, "filter 'first': there is no first item, it is empty")


def last(value: Any) -> Any:
    if isinstance(value, (str, list)) and value:
        return value[-1]
    for item in reversed(_items(value)):
        return item
    raise Undefined(EMPTY, None, "filter 'last': there is no last item, it is empty")


def _extreme(value: Any, choose: Callable[..., Any], name: str, case_sensitive: Any, attribute: Any) -> Any:
    items = _items(value)
    if not items:
        raise Undefined(EMPTY, None, f"filter '{name}': there is no item, it is empty")
    check_built(items)
    try:
        return choose(items, key=sort_key(attribute, case_sensitive))
    except TypeError:
        raise ExpressionError("the items cannot be compared with each other") from None


def smallest(value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
    return _extreme(value, min, "min", case_sensitive, attribute)


def largest(value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
    return _extreme(value, max, "max", case_sensitive, attribute)


def listed(value: Any) -> list[Any]:
    return _items(value)


def items(value: Any) -> list[Any]:
    """The pairs `[key, value]` of a mapping."""
    return [[key, item] for key, item in _mapping(value).items()]


def dictsort(value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False) -> list[Any]:
    """The pairs `[key, value]` of a mapping, sorted by key or by value."""
    if by not in ("key", "value"):
        raise ExpressionError("`by` must be 'key' or 'value'")
    return _sorted(items(value), sort_key(("key", "value").index(by), case_sensitive), reverse)


def sort(value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None) -> list[Any]:
    """Sorted, the order of equals kept. `attribute`: by that of each item; several, separated by commas."""
    if isinstance(attribute, str) and "," in attribute:
        keys = [sort_key(part, case_sensitive) for part in attribute.split(",")]
        return _sorted(_items(value), lambda item: [key(item) for key in keys], reverse)
    return _sorted(_items(value), sort_key(attribute, case_sensitive), reverse)


def reverse(value: Any) -> Any:
    if isinstance(value, str):
        spend_text(len(value))
        return value[::-1]
    return _items(value)[::-1]


def unique(value: Any, case_sensitive: bool = False, attribute: Any = None) -> list[Any]:
    """The first of each, in order."""
    key = sort_key(attribute, case_sensitive)
    seen, kept = set(), []
    for item in _items(value):
        mark = key(item)
        if isinstance(mark, (list, dict, SecretText)):
            mark = ("json", to_json(mark))
        if mark not in seen:
            seen.add(mark)
            kept.append(item)
    return kept


def groupby(value: Any, attribute: Any, default: Any = None, case_sensitive: bool = False) -> list[Any]:
    """Pairs `[what they share, items]`, sorted by that; of strings that differ in case only the first is shown."""
    given = getter(attribute) if default is None else getter(attribute, default=default)

    def key(item: Any) -> Any:
        shared = given(item)
        return shared.lower() if isinstance(shared, str) and not case_sensitive else shared

    groups: list[Any] = []
    for item in _sorted(_items(value), key, False):
        if not groups or key(groups[-1][1][0]) != key(item):
            groups.append([given(item), []])
        groups[-1][1].append(item)
    return groups


def join(value: Any, d: Any = "", attribute: Any = None) -> str:
    """The texts of the items, `d` between them."""
    get = getter(attribute) if attribute is not None else None
    texts = [to_text(get(item) if get else item) for item in _items(value)]
    between = to_text(d)
    spend_text(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def total(value: Any, attribute: Any = None, start: Any = 0) -> Any:
    get = getter(attribute) if attribute is not None else None
    result = start
    for item in _items(value):
        result = add(result, get(item) if get else item)
    return result


def batch(value: Any, linecount: int, fill_with: Any = None) -> list[Any]:
    """Lists of `linecount` items; the last is filled up with `fill_with`, if given."""
    source = _items(value)
    if linecount < 1:
        raise ExpressionError("the size of a batch must be 1 or more")
    batches = [source[at : at + linecount] for at in range(0, len(source), linecount)]
    if batches and fill_with is not None:
        missing = linecount - len(batches[-1])
        spend_items(missing)
        batches[-1] += [fill_with] * missing
    return batches


def slices(value: Any, slices: int, fill_with: Any = None) -> list[Any]:
    """`slices` lists of about the same size, the longer ones first; `fill_with` makes the others as long."""
    source = _items(value)
    if slices < 1:
        raise ExpressionError("the number of slices must be 1 or more")
    spend_items(slices)
    size, longer = divmod(len(source), slices)
    result, start = [], 0
    for number in range(slices):
        end = start + size + (number < longer)
        piece = source[start:end]
        if fill_with is not None and number >= longer:
            piece.append(fill_with)
        result.append(piece)
        start = end
    return result


def tojson(value: Any, indent: int | None = None) -> str:
    """Compact JSON, its characters as they are."""
    return to_json(value, indent=indent)


def fromjson(value: Any) -> JSON:
    """The value that a JSON text holds."""
    if not isinstance(value, str):
        raise ExpressionError(f"expected JSON in a string, not {a_kind(value)}")
    spend_text(len(value))
    try:
        parsed = msgspec.json.decode(value.removeprefix("\N{BYTE ORDER MARK}"))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ExpressionError(f"the text is not JSON: {error}") from None
    check_built(parsed)
    return parsed
