"""JSON values as the text a process gets, and the text of a process as JSON values."""

from __future__ import annotations

from typing import Any

import msgspec

from agentctl import JSON
from agentctl.expressions.json_text import decoded, read_json

EXPANDED = 8 << 20  # bytes, about, that a YAML output may have once its aliases are expanded
_SCALAR = 8  # bytes, about, of a value that is no text
_BOMB = f"its aliases expand to more than {EXPANDED >> 20} MiB"


def as_text(value: JSON) -> str:
    """A string as it is, anything else as compact JSON: what `${{ }}` inserts into longer text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def read_output(data: bytes, how: str) -> JSON:
    """The output of a process as `how` says: text, lines, json or yaml.

    In text, bytes that are not UTF-8 are replaced, and the newline at its end is dropped. Raises ValueError with a sentence for
    what is no JSON or YAML.
    """
    if how == "json":
        return read_json(data)
    if how == "yaml":
        return read_yaml(decoded(data))
    text = data.decode("utf-8", "replace").removesuffix("\n")
    if how == "text":
        return text
    return text.split("\n") if data else []


def read_yaml(text: str) -> JSON:
    """Parse YAML 1.2 to JSON values: dates and other scalars that JSON lacks stay text. Raises ValueError with a sentence."""
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    class Constructor(SafeConstructor):
        """`2026-11-23` and base64 bytes stay the text they were; `<<` cannot multiply what is there without bounds."""

        merged = 0

        def flatten_mapping(self, node: Any) -> Any:
            result = super().flatten_mapping(node)
            self.merged += len(node.value)
            if self.merged * _SCALAR > EXPANDED:
                raise ValueError(_BOMB)
            return result

    for tag in ("timestamp", "binary"):
        Constructor.add_constructor(f"tag:yaml.org,2002:{tag}", SafeConstructor.construct_yaml_str)
    parser = YAML(typ="safe", pure=True)
    parser.Constructor = Constructor
    try:
        value = parser.load(text)
        if _expanded(value, {}) > EXPANDED:
            raise ValueError(_BOMB)
        return msgspec.json.decode(msgspec.json.encode(value))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"{error.problem or error.context}{where}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (YAMLError, msgspec.MsgspecError, ValueError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())[:500]) from None


def _expanded(value: Any, known: dict[int, float]) -> float:
    """About how many bytes a value has as JSON. What aliases share is looked at once, and counted each time."""
    if isinstance(value, str):
        return len(value) + 2
    if not isinstance(value, dict | list):
        return _SCALAR
    if id(value) not in known:
        known[id(value)] = float("inf")  # what holds itself never ends
        items = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 2 + sum(_expanded(item, known) for item in items)
    return known[id(value)]


def last_lines(text: str, limit: int = 3) -> str:
    """The last lines that say something, for an error's message; at most 500 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-limit:])[-500:]
