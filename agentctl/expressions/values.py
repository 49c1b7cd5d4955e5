"""The values that expressions meet beside plain JSON: lazy namespaces, and secrets, which travel as references.

A value inside an expression is JSON (null, boolean, number, string, list, mapping), a `Lookup` or a `SecretText`;
never a tuple, a generator or any other Python object.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, NoReturn

import msgspec

from agentctl.errors import ExpressionError
from agentctl.expressions.limits import MAX_NESTING, spend, spend_text

MAX_INDENT = 16  # spaces a level
_LIGHT = frozenset({float, bool, type(None)})
_PLAIN = frozenset({str, int, float, bool, type(None)})
SECRET_MISUSE = "a secret can only be inserted, as it is or inside longer text"


class Lookup:
    """A namespace whose values are looked up when an expression asks for them, such as `steps`."""

    def get(self, name: str) -> Any:
        """The value of `name`. Raises KeyError when there is none: the name is undefined."""
        raise NotImplementedError

    def names(self) -> Iterable[str]:
        """The known names, for "did you mean"."""
        raise NotImplementedError

    def to_json(self) -> Any:
        """The whole namespace as JSON, when an expression wants it as a value."""
        raise NotImplementedError

    def __getitem__(self, name: str) -> Any:  # so that a chain of keys need not ask what it looks into
        if name.__class__ is str:
            return self.get(name)
        raise KeyError(name)


class Ref(msgspec.Struct, frozen=True):
    """The name of a secret, where its value will be."""

    name: str


class SecretText(msgspec.Struct, frozen=True):
    """What an expression that touches `secrets.X` evaluates to: pieces of text and names, never a secret's value."""

    parts: tuple[str | Ref, ...]

    def __bool__(self) -> bool:
        raise ExpressionError(SECRET_MISUSE)

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else f"${{{{ secrets.{part.name} }}}}" for part in self.parts)


class SecretNames(Lookup):
    """The namespace `secrets` of a scope: knows which secrets exist, hands out references to them."""

    def __init__(self, known: Collection[str]) -> None:
        self._known = known

    def get(self, name: str) -> SecretText:
        if name not in self._known:
            raise KeyError(name)
        return SecretText((Ref(name),))

    def names(self) -> Iterable[str]:
        return self._known

    def to_json(self) -> NoReturn:
        raise ExpressionError("`secrets` is no value; name one of them, as in secrets.NAME")


def extract_secrets(value: Any) -> tuple[Any, list[Any]]:
    """Split an evaluated value into JSON, where each secret reads `${{ secrets.X }}`, and the places of the secrets:
    a list of `[[keys], [text or {"secret": NAME}, ...]]`. `insert_secrets` puts the two together again."""
    found: list[tuple[list[str | int], SecretText]] = []
    _find_secrets(value, [], found)
    for keys, secret in found:
        value = _replaced(value, keys, str(secret))
    places = [[keys, [p if isinstance(p, str) else {"secret": p.name} for p in secret.parts]] for keys, secret in found]
    return value, places


def _find_secrets(value: Any, keys: list[str | int], found: list[tuple[list[str | int], SecretText]]) -> None:
    if isinstance(value, SecretText):
        found.append((keys, value))
    elif isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if item.__class__ not in _PLAIN:
                _find_secrets(item, [*keys, key], found)


def insert_secrets(value: Any, secrets: list[Any], read: Callable[[str], str]) -> Any:
    """The inverse of `extract_secrets`: a copy of `value` with the secrets' values, each fetched by `read(name)`."""
    for keys, parts in secrets:
        text = "".join(part if isinstance(part, str) else read(part["secret"]) for part in parts)
        value = _replaced(value, keys, text)
    return value


def _replaced(value: Any, keys: list[Any], text: str) -> Any:
    """A copy of `value` with `text` at `keys`; what is not on the way there is shared, not copied."""
    if not keys:
        return text
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[keys[0]] = _replaced(value[keys[0]], keys[1:], text)
    return changed


def kind(value: Any) -> str:
    """What a user calls the type of `value`: string, number, list, mapping, boolean, null."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "list"
    return "secret" if isinstance(value, SecretText) else "mapping"


def a_kind(value: Any) -> str:
    """`kind` with its article, for a sentence."""
    return "null" if value is None else f"a {kind(value)}"


def plain(value: Any) -> Any:
    """`value` as JSON if it is a namespace, else as it is."""
    return value.to_json() if isinstance(value, Lookup) else value


def to_text(value: Any) -> str:
    """A string as it is, anything else as compact JSON: how a value reads inside longer text.
    Raises ExpressionError for a secret."""
    if value.__class__ is str:
        return str(value)
    return to_json(plain(value))


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Compact JSON of `value`, its characters as they are; spread over lines by `indent`."""
    check_built(value)
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise ExpressionError("the value holds half a surrogate pair, which is no character") from None
    if indent:
        encoded = msgspec.json.format(encoded, indent=min(indent, MAX_INDENT))
    spend_text(len(encoded))
    return encoded.decode()


def check_built(value: Any, *, secrets: bool = False, depth: int = 0) -> None:
    """Walk a built value, which may hold the same list a thousand times: its size as JSON is what counts.
    Raises ExpressionError when that, or its nesting, is out of bounds, or when it holds a secret that must not be there."""
    if isinstance(value, str):
        spend(1 + len(value) // 64)
    elif isinstance(value, int):
        spend(1 + value.bit_length() // 64)
    elif isinstance(value, (dict, list)):
        if depth > MAX_NESTING:
            raise ExpressionError(f"the value is nested more than {MAX_NESTING} levels deep")
        spend(1 + len(value))
        for item in value.values() if isinstance(value, dict) else value:
            if not (item.__class__ in _LIGHT or (item.__class__ is int and item.bit_length() <= 64)):
                check_built(item, secrets=secrets, depth=depth + 1)
    elif isinstance(value, SecretText) and not secrets:
        raise ExpressionError(SECRET_MISUSE)
