"""`stats`: figures over the runs of definitions, as documents and as plain lines."""

from __future__ import annotations

from collections.abc import Sequence

from agentctl import JSON
from agentctl.core.events import Usage
from agentctl.ports import Statistics
from agentctl.render.text import columns, seconds, usage_text, visible

COLUMNS = ("name", "runs", "succeeded", "failed", "cancelled", "success", "p50", "p95", "used", "saved")


def statistics_document(figures: Statistics) -> dict[str, JSON]:
    """`tokens` in and out together; `usd` as far as prices are known, null where none is."""
    return {
        "loop": figures.name,
        "kind": figures.kind,
        "runs": figures.runs,
        "succeeded": figures.succeeded,
        "failed": figures.failed,
        "cancelled": figures.cancelled,
        "success_rate": figures.success_rate,
        "p50_ms": _milliseconds(figures.p50),
        "p95_ms": _milliseconds(figures.p95),
        **_cost(figures.usage),
        "saved": _cost(figures.saved),
    }


def _milliseconds(duration: float | None) -> int | None:
    return None if duration is None else max(0, round(duration * 1000))


def _cost(usage: Usage | None) -> dict[str, JSON]:
    if usage is None:
        return {"tokens": 0, "usd": None}
    return {"tokens": usage.input_tokens + usage.output_tokens, "usd": usage.usd}


def format_statistics(all: Sequence[Statistics]) -> str:
    """Aligned lines under COLUMNS."""
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
