"""Filters on text. A value that is no string is taken as its compact JSON, as `~` and interpolation do."""

from __future__ import annotations

import re
from typing import Any

from agentctl.errors import ExpressionError
from agentctl.expressions.limits import spend, spend_text
from agentctl.expressions.values import a_kind, to_text

_PRINTF = re.compile(r"%(?:\((?P<key>[^)]*)\))?(?P<flags>[-+ #0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<type>.?)", re.DOTALL)
_MAX_WIDTH = 1_000
_WORD_START = re.compile(r"([-\s({\[<]+)")


def _text(value: Any) -> str:
    """The text of a filter's value, its reading paid for."""
    text = to_text(value)
    spend_text(len(text))
    return text


def upper(value: Any) -> str:
    return _text(value).upper()


def lower(value: Any) -> str:
    return _text(value).lower()


def capitalize(value: Any) -> str:
    return _text(value).capitalize()


def title(value: Any) -> str:
    """Each word's first letter in upper case, the rest in lower; words also begin after `-`, `(`, `{`, `[` and `<`."""
    pieces = _WORD_START.split(_text(value))
    return "".join(piece[0].upper() + piece[1:].lower() for piece in pieces if piece)


def trim(value: Any, chars: str | None = None) -> str:
    return _text(value).strip(chars)


def string(value: Any) -> str:
    return _text(value)


def center(value: Any, width: int = 80) -> str:
    spend_text(width if width > 0 else 0)
    return _text(value).center(width)


def replace(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    text, old, new = _text(value), to_text(old), to_text(new)
    found = text.count(old)
    if count is not None and 0 <= count < found:
        found = count
    spend_text(len(text) + found * max(len(new) - len(old), 0))
    return text.replace(old, new, -1 if count is None else count)


def truncate(value: Any, length: int = 255, killwords: bool = False, end: str = "...", leeway: int = 5) -> str:
    """At most `length` characters, `end` included; `leeway`: so many more are let pass."""
    text = _text(value)
    if length < len(end) or leeway < 0:
        raise ExpressionError(f"length must be {len(end)} or more (it includes the end), leeway 0 or more")
    if len(text) <= length + leeway:
        return text
    kept = text[: length - len(end)]
    return (kept if killwords else kept.rsplit(" ", 1)[0]) + end


def indent(value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
    """Every line but the first (unless `first`) begins with `width` spaces, or with that text; blank ones only with `blank`."""
    text = _text(value)
    if isinstance(width, int):
        spend_text(width)
    space = width if isinstance(width, str) else " " * width
    lines = text.splitlines() or [""]
    if text.endswith("\n"):
        lines.append("")  # the newline at the end stays
    spend_text(len(text) + len(space) * len(lines))
    rest = [space + line if line or blank else line for line in lines[1:]]
    return "\n".join([space + lines[0] if first else lines[0], *rest])


def wordwrap(
    value: Any,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str = "\n",
    break_on_hyphens: bool = True,
) -> str:
    """Lines of at most `width` characters, broken between words."""
    import textwrap

    text = _text(value)
    spend_text(len(text) * (1 + len(wrapstring)))
    for word in text.split():
        spend(len(word) ** 2 // 64)  # what textwrap takes for a word without end

    def wrapped(line: str) -> list[str]:
        return textwrap.wrap(
            line,
            width=width,
            expand_tabs=False,
            replace_whitespace=False,
            break_long_words=break_long_words,
            break_on_hyphens=break_on_hyphens,
        )

    return wrapstring.join(wrapstring.join(wrapped(line)) for line in text.splitlines())


def wordcount(value: Any) -> int:
    return len(re.findall(r"\w+", _text(value)))


def urlencode(value: Any) -> str:
    """Text quoted for a path of a URL; a mapping or a list of pairs as a query string."""
    from urllib.parse import quote, quote_plus

    if isinstance(value, (dict, list)):
        pairs = list(value.items()) if isinstance(value, dict) else value
        return "&".join(f"{quote_plus(_to_quote(key))}={quote_plus(_to_quote(item))}" for key, item in pairs)
    return quote(_to_quote(value), safe="/")


def _to_quote(value: Any) -> str:
    """Its text, when there is room for three characters for each of its bytes."""
    text = _text(value)
    spend_text(3 * len(text.encode()))
    return text


def format(value: Any, *args: Any, **kwargs: Any) -> str:
    """`"%s of %d" | format(a, b)`, or `%(name)s` with named arguments. Widths and precisions up to 1,000."""
    if args and kwargs:
        raise ExpressionError("takes arguments in order or by name, not both")
    text, remaining = _text(value), list(args)

    def filled(spec: re.Match[str]) -> str:
        if spec["type"] == "%":
            return "%"
        if spec["type"] not in tuple("sdiuoxXeEfFgGc"):
            raise ExpressionError(f"`{spec[0]}` is no format; expected one such as %s, %d or %.2f")
        if max(int(spec["width"] or 0), int(spec["precision"] or 0)) > _MAX_WIDTH:
            raise ExpressionError(f"the width of `{spec[0]}` is more than {_MAX_WIDTH:,}")
        argument = _argument(spec, remaining, kwargs)
        precision = "" if spec["precision"] is None else f".{spec['precision']}"
        pattern = f"%{spec['flags']}{spec['width']}{precision}{spec['type']}"
        try:
            filling = str(pattern % (_text(argument) if spec["type"] == "s" else argument,))
        except (TypeError, ValueError):
            raise ExpressionError(f"`{spec[0]}` does not fit {a_kind(argument)}") from None
        spend_text(len(filling))
        return filling

    built = _PRINTF.sub(filled, text)
    if remaining:
        raise ExpressionError("there are more arguments than the format has places")
    spend_text(len(built))
    return built


def _argument(spec: re.Match[str], remaining: list[Any], kwargs: dict[str, Any]) -> Any:
    if spec["key"] is not None:
        if spec["key"] not in kwargs:
            raise ExpressionError(f"there is no argument '{spec['key']}'")
        return kwargs[spec["key"]]
    if not remaining:
        raise ExpressionError("there are fewer arguments than the format has places")
    return remaining.pop(0)
