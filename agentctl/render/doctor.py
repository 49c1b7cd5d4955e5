"""`doctor` as lines: one per finding, below it how to fix it."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from agentctl.ports import Finding
from agentctl.render.text import pad, visible
from agentctl.render.timeline import Line

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}


def finding_lines(findings: Sequence[Finding], *, width: int | None = None) -> list[Line]:
    """Return the lines of all findings. `width`: wrap at so many columns; None: one line each."""
    column = max((len(finding.check) for finding in findings), default=0)
    lines: list[Line] = []
    for finding in findings:
        mark, style = _MARKS[finding.status]
        for number, text in enumerate(_wrapped(finding.message, width, column + 4)):
            head = pad(finding.check, column) if number == 0 else " " * column
            lines.append(((f"{mark if number == 0 else ' '} ", style), (f"{head}  ", "dim"), (text, "")))
        for number, text in enumerate(_wrapped(finding.fix, width, column + 6)):
            lines.append(((" " * (column + 4) + ("→ " if number == 0 else "  "), style), (text, "")))
    return lines


def _wrapped(text: str, width: int | None, indent: int) -> list[str]:
    """Wrap between words only: paths and commands stay whole, so that they can be copied."""
    shown = visible(text)
    if width is None:
        return [shown] if shown else []
    return wrap(shown, max(width - indent, 20), break_long_words=False, break_on_hyphens=False)
