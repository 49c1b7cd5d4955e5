"""Two JSON values side by side: is one the other, does one include the other, and where do they differ."""

from __future__ import annotations

import json
from difflib import ndiff

from agentctl import JSON

MOST_LINES = 60  # of a difference that is shown
_CONTEXT = 2  # equal lines shown around a change
_SHORT = 80  # characters of a value that is shown in one line
_WIDEST = 200


def same(expected: JSON, got: JSON) -> bool:
    """Equal as JSON: 1 and 1.0 are one number, true is none."""
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(same(value, got[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(same, expected, got))
    return bool(expected == got)


def includes(expected: JSON, got: JSON) -> bool:
    """Whether `got` has all of `expected`: keys of mappings, items of lists in their order, a piece of a text; else equal."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return all(key in got and includes(value, got[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(got, list):
        rest = iter(got)
        return all(any(includes(wanted, item) for item in rest) for wanted in expected)
    if isinstance(expected, str) and isinstance(got, str):
        return expected in got
    return same(expected, got)


def part(expected: JSON, got: JSON) -> JSON:
    """What of `got` to show beside an expected part: without the keys that were not asked for."""
    if isinstance(expected, dict) and isinstance(got, dict):
        return {key: part(value, got[key]) for key, value in expected.items() if key in got}
    return got


def difference(expected: JSON, got: JSON) -> str:
    """Readable lines: one for each of two short values, else the two as JSON, `-` what was expected and `+` what came."""
    short = [_compact(value) for value in (expected, got)]
    if all(len(text) <= _SHORT and "\\n" not in text for text in short):
        return f"expected  {short[0]}\ngot       {short[1]}"
    left, right = _lines(expected), _lines(got)
    if len(left) + len(right) > 2000:
        left, right = _around_change(left, right)
    changes = [line for line in ndiff(left, right) if not line.startswith("?")]
    return "\n".join(["- expected, + got", *_shortened(changes)])


def _compact(value: JSON) -> str:
    return json.dumps(value, ensure_ascii=False)


def _lines(value: JSON) -> list[str]:
    if isinstance(value, str):
        return value.split("\n")
    return json.dumps(value, ensure_ascii=False, indent=2).split("\n")


def _around_change(left: list[str], right: list[str]) -> tuple[list[str], list[str]]:
    """From a little before the first line that differs: a full comparison of long texts takes too long."""
    pairs = enumerate(zip(left, right, strict=False))
    first = next((i for i, (a, b) in pairs if a != b), min(len(left), len(right)))
    begin = max(0, first - _CONTEXT)
    return left[begin : begin + MOST_LINES], right[begin : begin + MOST_LINES]


def _shortened(lines: list[str]) -> list[str]:
    """The changes with a little of what is around them, and a word on what is left out."""
    near = [
        any(not other.startswith("  ") for other in lines[max(0, i - _CONTEXT) : i + _CONTEXT + 1]) for i in range(len(lines))
    ]
    shown: list[str] = []
    for line, is_near in zip(lines, near, strict=True):
        if is_near:
            shown.append(_cut(line))
        elif not shown or shown[-1] != "  ...":
            shown.append("  ...")
    return shown if len(shown) <= MOST_LINES else [*shown[:MOST_LINES], f"  ... {len(shown) - MOST_LINES} more lines"]


def _cut(line: str) -> str:
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"
