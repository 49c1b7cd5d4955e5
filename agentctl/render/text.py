"""Small pieces of text for all of render: times, durations, symbols, and text from outside made harmless."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agentctl.core.events import Error, Usage
from agentctl.expressions.duration import format_duration
from agentctl.expressions.large import shown

SYMBOLS = {
    "pending": "·",
    "queued": "·",
    "running": "▸",
    "retrying": "↻",
    "waiting": "…",
    "blocked": "■",
    "succeeded": "✓",
    "recovered": "✓",
    "reused": "=",
    "skipped": "-",
    "not_run": "·",
    "failed": "✗",
    "cancelled": "⊘",
    "interrupted": "!",
    "unknown": "?",
}

STYLES = {
    "running": "cyan",
    "retrying": "yellow",
    "waiting": "blue",
    "blocked": "magenta",
    "succeeded": "green",
    "recovered": "green",
    "reused": "green",
    "failed": "red",
    "cancelled": "yellow",
    "interrupted": "yellow",
    "unknown": "red",
}

SHORT_ID = 8
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
# What a terminal shows as nothing or as a blank, though Unicode calls it printable: joiners, fillers, variation selectors, tags.
_INVISIBLE = re.compile(
    r"[\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c\u200d\u206a-\u206f\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def symbol(status: str) -> str:
    return SYMBOLS.get(status, "?")


def style(status: str) -> str:
    """Return the rich style of a status; "dim" for inactive ones."""
    return STYLES.get(status, "dim")


def visible(text: str, *, lines: bool = False) -> str:
    r"""Make text from outside harmless for a terminal: write out control, direction and invisible characters.

    `\x1b`, `\u202e`, `\n`.  `lines`: keep newlines and tabs, which structure a longer text.
    """

    def escape(match: re.Match[str]) -> str:
        char = match.group()
        if lines and char in "\n\t":
            return char
        if 0xD800 <= ord(char) <= 0xDFFF:  # half a character, which no UTF-8 stream can take
            return "�"
        named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char)
        return named or (f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")

    return _CONTROL.sub(escape, text)


def unambiguous(text: str, *, lines: bool = False) -> str:
    r"""Make text that a person signs unambiguous: beyond `visible`, write out what has no visible shape: `\u{34f}`.

    `lines`: keep newlines and tabs.
    """
    shown = _INVISIBLE.sub(lambda match: f"\\u{{{ord(match.group()):x}}}", visible(text, lines=lines))
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\u{{{ord(char):x}}}" for char in shown)


def first_line(text: str, width: int = 100) -> str:
    """Return the first line that is not blank, harmless, cut to `width` columns."""
    for line in text.splitlines():
        if line.strip():
            return cut(visible(line.strip()), width)
    return ""


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """Cut a text to `width` columns, with an ellipsis where something is missing."""
    if cells(text) <= width:
        return text
    kept, used = [], 0
    for char in text:
        used += cells(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def pad(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def summary(value: Any, width: int = 100) -> str:
    """Return a value in one line: the first line of a text, anything else as compact JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return first_line(value, width)
    return cut(compact(shown(value)), width)


def compact(value: Any) -> str:
    """Return a value as JSON in one harmless line."""
    import msgspec

    return visible(msgspec.json.encode(value).decode("utf-8", "replace"))


def indented(value: Any) -> str:
    """Return a value in full for people: text as it is, anything else as indented JSON; harmless either way."""
    if isinstance(value, str):
        return visible(value, lines=True)
    import msgspec

    return visible(msgspec.json.format(msgspec.json.encode(value), indent=2).decode(), lines=True)


def clock(at: float) -> str:
    """Format a time for people, in their own zone: `2026-11-23 16:40:51`."""
    return f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M:%S}"


def seconds(value: float) -> str:
    """Format a duration for people: `0.12s`, `4.2s`, `1m 20s`, `2h 5m`, `3d 4h`."""
    if value < 10:
        return f"{max(value, 0.0):.2f}s" if value < 1 else f"{value:.1f}s"
    return format_duration(round(value))


def ago(at: float, now: float) -> str:
    """Format a time relative to now: `12s ago`, `in 3m`."""
    if at > now + 0.5:
        return f"in {seconds(at - now)}"
    passed = now - at
    return "just now" if passed < 1 else f"{_coarse(passed)} ago"


def _coarse(value: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if value >= size:
            return f"{int(value // size)}{unit}"
    return f"{int(value)}s"


def error_line(error: Error, width: int = 160) -> str:
    """Return `type: message` in one harmless line."""
    return cut(f"{visible(error.type)}: {first_line(error.message, width)}", width)


def usage_text(usage: Usage | None) -> str:
    """Return `1,204 tokens, $0.0031`; empty when nothing was used."""
    if usage is None:
        return ""
    tokens = usage.input_tokens + usage.output_tokens
    parts = [f"{tokens:,} tokens"] if tokens else []
    if usage.usd:
        parts.append(f"${usage.usd:.4f}")
    return ", ".join(parts)


def size(count: int, noun: str) -> str:
    """Return `1 problem`, `3 problems`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Align texts in columns, two blanks between them, no trailing blanks."""
    widths = [max(cells(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return "\n".join("  ".join(pad(text, width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)
