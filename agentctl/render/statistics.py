"""`stats` as plain lines."""

from __future__ import annotations

from collections.abc import Sequence

from agentctl.ports import Statistics
from agentctl.render.text import columns, seconds, usage_text, visible

COLUMNS = ("name", "runs", "succeeded", "failed", "cancelled", "success", "p50", "p95", "used", "saved")


def format_statistics(all: Sequence[Statistics]) -> str:
    """Return aligned lines below COLUMNS."""
    return columns([COLUMNS, *(_cells(figures) for figures in all)])


def _cells(figures: Statistics) -> tuple[str, ...]:
    rate = figures.success_rate
    return (
        visible(figures.name),
        str(figures.runs),
        str(figures.succeeded),
        str(figures.failed),
        str(figures.cancelled),
        "" if rate is None else f"{100 * rate:.0f}%",
        "" if figures.p50 is None else seconds(figures.p50),
        "" if figures.p95 is None else seconds(figures.p95),
        usage_text(figures.usage),
        usage_text(figures.saved),
    )
