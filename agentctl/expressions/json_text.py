"""JSON as programs write it, read so that what comes back can always be journaled."""

from __future__ import annotations

import json
from typing import Any

import msgspec


def read_json(data: bytes) -> Any:
    """Parse JSON in UTF-8, or in UTF-16 or UTF-32 as its first bytes say; a byte order mark is dropped.

    A lone surrogate becomes U+FFFD. Raises ValueError with a sentence; NaN and Infinity are no JSON.
    """
    try:
        return msgspec.json.decode(data)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return _read_leniently(decoded(data))


def decoded(data: bytes) -> str:
    """The text of JSON or YAML, without a byte order mark. Raises ValueError for what is no Unicode text."""
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no {encoding.removesuffix('-sig').upper()} at byte {error.start + 1}") from None


def _read_leniently(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_refuse)
        # Twice: NaN can also come from a number out of range.
        return msgspec.json.decode(json.dumps(_without_surrogates(value), allow_nan=False))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise ValueError(str(error)) from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value
