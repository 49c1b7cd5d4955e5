"""JSON values as the text a process gets, and the text of a process as JSON values."""

from __future__ import annotations

import json
from typing import Any

import msgspec

JSON = Any


def as_text(value: JSON) -> str:
    """A string as it is, anything else as compact JSON: what `${{ }}` inserts into longer text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def read_json(data: bytes) -> JSON:
    """Parse JSON. What comes back can always be journaled: a lone surrogate becomes U+FFFD, bytes that are no UTF-8 too.

    Raises ValueError with a sentence; NaN and Infinity are no JSON.
    """
    try:
        return msgspec.json.decode(data)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return _read_json_leniently(data.decode("utf-8", "replace"))


def _read_json_leniently(text: str) -> JSON:
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


def _without_surrogates(value: JSON) -> JSON:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def read_yaml(text: str) -> JSON:
    """Parse YAML 1.2 to JSON values: dates and other scalars that JSON lacks stay text. Raises ValueError with a sentence."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.error import YAMLError

    class Constructor(SafeConstructor):
        """`2026-11-23` and base64 bytes stay the text they were."""

    for tag in ("timestamp", "binary"):
        Constructor.add_constructor(f"tag:yaml.org,2002:{tag}", SafeConstructor.construct_yaml_str)
    parser = YAML(typ="safe", pure=True)
    parser.Constructor = Constructor
    try:
        value = parser.load(text)
        return msgspec.json.decode(msgspec.json.encode(value))
    except (YAMLError, msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())[:500]) from None


def last_lines(text: str, limit: int = 3) -> str:
    """The last lines that say something, for an error's message; at most 500 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-limit:])[-500:]
