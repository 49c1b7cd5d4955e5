"""Find `${{ expression }}` in a text. The end is the first `}}` that is neither inside a string nor closes a mapping."""

from __future__ import annotations

from typing import NamedTuple

from agentctl.errors import ExpressionError

OPEN, ESCAPED_OPEN = "${{", "$${{"


class Part(NamedTuple):
    """A piece of a text. `text`: literal text (escapes resolved) or the source between `${{` and `}}`.
    `offset`: where that begins in the text that was scanned."""

    text: str
    is_expression: bool
    offset: int


def scan(text: str) -> list[Part]:
    """Split `text` into literal parts and expressions; `$${{` is a literal `${{`.
    Raises ExpressionError with the offset of a `${{` that is never closed."""
    parts: list[Part] = []
    literal, begin, position = "", 0, 0
    while (at := text.find(OPEN, position)) >= 0:
        if at > position and text[at - 1] == "$":
            literal += text[position : at - 1] + OPEN
            position = at + len(OPEN)
            continue
        literal += text[position:at]
        if literal:
            parts.append(Part(literal, False, begin))
        start = at + len(OPEN)
        end = _closing(text, start, at)
        parts.append(Part(text[start:end], True, start))
        literal, begin, position = "", end + 2, end + 2
    literal += text[position:]
    if literal:
        parts.append(Part(literal, False, begin))
    return parts


def _closing(text: str, start: int, opened_at: int) -> int:
    """The index of the `}}` that closes the expression beginning at `start`."""
    braces, position, length = 0, start, len(text)
    while position < length:
        character = text[position]
        if character in "'\"":
            position = _after_string(text, position, opened_at)
            continue
        if character == "{":
            braces += 1
        elif character == "}":
            if braces:
                braces -= 1
            elif text.startswith("}}", position):
                return position
        position += 1
    raise ExpressionError("`${{` is never closed by `}}`", offset=opened_at)


def _after_string(text: str, position: int, opened_at: int) -> int:
    quote, position = text[position], position + 1
    while position < len(text):
        if text[position] == "\\":
            position += 2
        elif text[position] == quote:
            return position + 1
        else:
            position += 1
    raise ExpressionError(f"`${{{{` is never closed by `}}}}`: a string that begins with {quote} has no end", offset=opened_at)
