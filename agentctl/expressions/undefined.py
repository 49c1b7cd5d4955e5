"""Looking up one key in one value, and what is raised when it is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.large import is_readable, read
from agentctl.expressions.suggestions import nearest, suggest
from agentctl.expressions.values import SECRET_MISUSE, Lookup, SecretText, a_kind


class Undefined(Exception):
    """A name, key or index that is not there. `default` and `is defined` catch it, the top of an evaluation makes an
    ExpressionError of it; the sentence is written only then, since looking for the nearest name costs far more."""

    def __init__(self, container: Any, key: Any, label: str, offset: int | None = None) -> None:
        self.container, self.key, self.label, self.offset = container, key, label, offset

    def as_error(self) -> ExpressionError:
        message, suggestion = self._sentence()
        return ExpressionError(message, offset=self.offset, suggestion=suggestion)

    def _sentence(self) -> tuple[str, str | None]:
        container, key, label = self.container, self.key, self.label
        if container is EMPTY:
            return label, None
        if isinstance(container, (list, str)) and isinstance(key, int):
            return f"{label} has no index {key}; it has {len(container)} {_unit(container)}", None
        if isinstance(container, (Mapping, Lookup)):
            known = container.names() if isinstance(container, Lookup) else container
            suggestion = nearest(key, known) if isinstance(key, str) else None
            shown = f"'{key}'" if isinstance(key, str) else key
            start = f"{label} has no {shown}" if label else f"{shown} is not defined"
            return start + suggest(suggestion), suggestion
        return f"{label} is {a_kind(container)}; it has no '{key}'", None


def _unit(container: Any) -> str:
    unit = "item" if isinstance(container, list) else "character"
    return unit if len(container) == 1 else f"{unit}s"


EMPTY = object()  # the container of an Undefined that is no failed look-up; its label is the whole sentence


def look_up(container: Any, key: Any, label: str, offset: int | None = None) -> Any:
    """`container[key]` on data: keys of mappings, indices of lists and strings. Raises Undefined or ExpressionError.
    `label`: how the user wrote `container`; empty for the scope itself."""
    if isinstance(container, SecretText):
        raise ExpressionError(SECRET_MISUSE, offset=offset)
    if isinstance(key, (list, dict, SecretText, Lookup)) or key is None:
        raise ExpressionError(f"cannot look up {a_kind(key)} in {label}", offset=offset)
    if is_readable(container):
        return _look_into(container, key, label, offset)
    fits = (list, str) if isinstance(key, int) else (Mapping, Lookup)
    if isinstance(container, fits):
        try:
            return container[key]
        except (KeyError, IndexError):
            pass
    raise Undefined(container, key, label, offset)


def _look_into(reference: dict[str, Any], key: Any, label: str, offset: int | None) -> Any:
    """`key` of a large value; beside what it holds, its file, size and hash have names."""
    try:
        return look_up(read(reference), key, label, offset)
    except (Undefined, ExpressionError):
        if key in ("file", "bytes", "sha256"):
            return reference[key]
        raise
