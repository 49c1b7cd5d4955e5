"""The conversation of an agent as text: who speaks, and indented below it what is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentctl.render.text import compact, visible


def transcript_text(rows: Sequence[dict[str, Any]]) -> str:
    """One paragraph a message."""
    return "\n\n".join(_paragraph(row) for row in rows)


def _paragraph(row: dict[str, Any]) -> str:
    turn = "" if row["turn"] is None else f" turn[{row['turn']}]"
    who = f"{row['role']}{turn}" + (f" {visible(row['tool'])}" if row["tool"] else "")
    lines = visible(row["text"] or "", lines=True).splitlines()
    calls = [f"-> {visible(call['tool'])} {compact(call['arguments'])}" for call in row["calls"]]
    return "\n".join([f"{who}:", *(f"    {line}".rstrip() for line in [*lines, *calls])])
