"""Figures over the runs of a definition."""

from __future__ import annotations

from agentctl import JSON
from agentctl.core.events import Usage
from agentctl.ports import Statistics, usage_document


def statistics_document(figures: Statistics) -> dict[str, JSON]:
    """One entry of `stats --json`. `tokens`: input and output.  `usd`: as far as prices are known; null if none is."""
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
        "cached_tokens": 0 if figures.usage is None else figures.usage.cached_tokens,
        "usd_per_success": _per_success(figures),
        "saved": _cost(figures.saved),
        "turns": figures.models.turns,
        "calls": figures.models.calls,
        "refused": figures.models.refused,
        "by_model": {name: usage_document(usage) for name, usage in figures.models.by_model.items()},
        "by_tool": {
            name: {"calls": tool.calls, "failed": tool.failed, "p95_s": round(max(0.0, tool.p95), 3)}
            for name, tool in figures.models.by_tool.items()
        },
    }


def _per_success(figures: Statistics) -> float | None:
    usd = None if figures.usage is None else figures.usage.usd
    return usd / figures.succeeded if usd is not None and figures.succeeded else None


def _milliseconds(duration: float | None) -> int | None:
    return None if duration is None else max(0, round(duration * 1000))


def _cost(usage: Usage | None) -> dict[str, JSON]:
    if usage is None:
        return {"tokens": 0, "usd": None}
    return {"tokens": usage.input_tokens + usage.output_tokens, "usd": usage.usd}
