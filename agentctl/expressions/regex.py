"""Regular expressions in time linear in the text, by RE2 (syntax: https://github.com/google/re2/wiki/Syntax).

Python's `re` backtracks: `(a+)+$` on forty letters runs for ever, and nothing can interrupt it. RE2 does not, so it has no
back-references, look-around, atomic groups or conditionals. The longest search it can be asked for is paid from the work
budget before it begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.limits import check_time, spend

MAX_PATTERN = 1_000  # characters
MAX_PROGRAM = 2_500  # instructions, repeats written out
_MAX_MEMORY = 4 << 20  # bytes of one pattern's program and of the states it caches
_SPEED = 512  # steps of a program on a byte, in one unit of work

_BACKTRACKS = ("(?=", "(?!", "(?<", "(?>", "(?(")
_NO_BACKTRACKING = "back-references, look-around, atomic groups and conditionals cannot be used"


class Pattern:
    """A compiled pattern. `search` and `replace` raise ExpressionError when the work budget is used up."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._size: int = compiled.programsize

    def search(self, text: str, group: str | int = 0) -> str | None:
        """The leftmost match, or that group of it; None when there is none, or when the group took no part."""
        self._check_group(group)
        self._pay(text)
        match = self._compiled.search(text)
        found: str | None = None if match is None else match[group]
        return found

    def replace(self, text: str, replacement: str, count: int = 0) -> Iterator[str]:
        r"""The pieces of `text` with matches replaced; `\1`, `\g<1>` and `\g<name>` in `replacement` are groups.
        `count`: at most so many, 0 for all."""
        pieces = self._pieces(replacement)
        self._pay(text)
        end = 0
        for done, match in enumerate(self._compiled.finditer(text), start=1):
            spend(1 + 4 * self._compiled.groups + self._size // 64)
            check_time()  # a search may look at the rest of the text, however short its match is
            yield text[end : match.start()]
            for piece in pieces:
                yield piece[0] if isinstance(piece, tuple) else match[piece] or ""
            end = match.end()
            if done == count:
                break
        yield text[end:]

    def _pay(self, text: str) -> None:
        try:
            size = len(text) if text.isascii() else len(text.encode())
        except UnicodeEncodeError:
            raise ExpressionError("the text holds half a surrogate pair, which is no character") from None
        spend(1 + size * self._size // _SPEED)

    def _check_group(self, group: str | int) -> None:
        compiled = self._compiled
        if not (group in compiled.groupindex if isinstance(group, str) else 0 <= group <= compiled.groups):
            raise ExpressionError(f"the regular expression has no group {group}")

    def _pieces(self, replacement: str) -> list[tuple[str] | str | int]:
        """What a replacement is put together from: texts (in tuples), and numbers and names of groups."""
        pieces: list[tuple[str] | str | int] = []
        end = 0
        for found in re.finditer(r"\\(?:(\d{1,2})|g<(\w+)>|(\\))", replacement):
            pieces.append((replacement[end : found.start()],))
            if found[3]:
                pieces.append(("\\",))
            else:
                name = found[1] or found[2]
                group = int(name) if name.isdecimal() else name
                self._check_group(group)
                pieces.append(group)
            end = found.end()
        return [*pieces, (replacement[end:],)]


@lru_cache(maxsize=64)
def compile_pattern(pattern: str) -> Pattern:
    """Raises ExpressionError for a pattern that is invalid, too large, or needs backtracking."""
    import re2  # type: ignore[import-untyped]  # it ships no types

    if len(pattern) > MAX_PATTERN:
        raise ExpressionError(f"the regular expression is longer than {MAX_PATTERN:,} characters")
    options = re2.Options()
    options.log_errors, options.max_mem = False, _MAX_MEMORY
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        [reason] = error.args
        raise ExpressionError(_refusal(reason.decode(errors="replace"))) from None
    except UnicodeEncodeError:
        raise ExpressionError("the regular expression holds half a surrogate pair, which is no character") from None
    if compiled.programsize > MAX_PROGRAM:
        raise ExpressionError("the regular expression is too large once its repeats are written out")
    return Pattern(compiled)


def _refusal(reason: str) -> str:
    """The sentence for RE2's reason, such as `invalid perl operator: (?=`."""
    what, _, where = reason.partition(": ")
    if what.startswith("pattern too large") or (what == "invalid repetition size" and _is_large(where)):
        return "the regular expression is too large: a repeat, with the repeats inside it, goes up to 1,000"
    if where.startswith(_BACKTRACKS) or where == "(?P" or (what == "invalid escape sequence" and where[1:2] in "123456789kg"):
        return f"the regular expression needs backtracking ({where}): {_NO_BACKTRACKING}"
    if what == "bad repetition operator":
        return f"the regular expression is invalid: `{where}` repeats a repeat, and possessive repeats cannot be used"
    if where == "\\Z":
        return "the regular expression is invalid: the end of the text is written `\\z`, not `\\Z`"
    if where.startswith("\\u"):
        return "the regular expression is invalid: a character is written `\\x{00E9}`, not `\\u00E9`"
    shown = where if len(where) <= 40 else where[:37] + "..."
    return f"the regular expression is invalid: {what}{': ' if shown else ''}{shown}"


def _is_large(repeat: str) -> bool:
    """Whether a repeat such as `{5,2000}` is refused for its size, rather than because its ends are the wrong way round."""
    ends = [int(number) for number in re.findall(r"\d+", repeat)]
    return ends == sorted(ends)
