"""Large outputs: to the language they are what they are, in the journal a reference to a file named by its hash.

A reference is `{file, bytes, sha256, kind}`. An expression that looks into it gets the text (`kind: text`) or the value
(`json`); one that only hands it on hands on the reference. So it costs nothing to pass a gigabyte from step to step.
Content is checked against `sha256`, so a made-up reference reads only what its author knows already.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from agentctl.errors import ExpressionError

LARGEST = 16 << 20  # bytes that an expression reads
_KEYS = frozenset({"file", "bytes", "sha256", "kind"})
_READABLE = ("text", "json")


def is_reference(value: Any) -> bool:
    return value.__class__ is dict and len(value) == 4 and "sha256" in value and value.keys() == _KEYS


def is_readable(value: Any) -> bool:
    """Whether it is a reference that is something else to the language: bytes stay `{file, bytes, sha256, kind}`."""
    return is_reference(value) and value["kind"] in _READABLE


def read(reference: dict[str, Any]) -> Any:
    """The text or the value. Raises ExpressionError when it is too large for an expression, or gone."""
    size = reference["bytes"]
    if not isinstance(size, int) or size > LARGEST:
        raise ExpressionError(
            f"the value has {size} bytes, and an expression reads at most {LARGEST >> 20} MiB; "
            "`stdin` and `body` take it whatever its size"
        )
    return _read(str(reference["file"]), str(reference["sha256"]), reference["kind"])


@lru_cache(2)
def _read(file: str, digest: str, kind: str) -> Any:
    from hashlib import sha256

    try:
        with open(file, "rb") as opened:
            data = opened.read(LARGEST + 1)
    except OSError as error:
        raise ExpressionError(f"the large value {file} cannot be read: {error.strerror}") from None
    if sha256(data).hexdigest() != digest:
        raise ExpressionError(f"the large value {file} is not what it was")
    if kind == "text":
        return data.decode("utf-8", "replace").removesuffix("\n")
    from agentctl.expressions.json_text import read_json

    return read_json(data)


def loaded(value: Any) -> Any:
    """The same value with what its references stand for in their places. Raises ExpressionError."""
    if value.__class__ is dict:
        if is_readable(value):
            return read(value)
        items = {key: loaded(item) if item.__class__ in (dict, list) else item for key, item in value.items()}
        return items if any(items[key] is not item for key, item in value.items()) else value
    if value.__class__ is list:
        found = [loaded(item) if item.__class__ in (dict, list) else item for item in value]
        return found if any(new is not old for new, old in zip(found, value, strict=True)) else value
    return value


def shown(value: Any) -> Any:
    """The same value as JSON documents show it: references without their `kind`."""
    if value.__class__ is dict:
        if is_reference(value):
            return {key: value[key] for key in ("file", "bytes", "sha256")}
        return {key: shown(item) if item.__class__ in (dict, list) else item for key, item in value.items()}
    if value.__class__ is list:
        return [shown(item) if item.__class__ in (dict, list) else item for item in value]
    return value
