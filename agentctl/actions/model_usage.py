"""What a call of a model cost: tokens as the provider counted them, or as they were reserved, and US dollars."""

from __future__ import annotations

import math
from typing import Any

from agentctl import JSON
from agentctl.actions.models import Model, Price
from agentctl.core import budget
from agentctl.core.events import Usage

MOST_TOKENS = 10**9  # no call takes more: a provider that says so is not believed


def usage_of(litellm: Any, response: Any, model: Model, params: JSON, latency_ms: int) -> tuple[Usage, bool]:
    """The usage of an answered call, and whether all of it was counted by the provider.

    What is missing, or cannot be, counts as it was reserved (`core.budget`): a server that reports nothing must not make a budget
    last for ever.
    """
    counted = getattr(response, "usage", None)
    read, written = _tokens(counted, "prompt_tokens"), _tokens(counted, "completion_tokens")
    if read and written is None and not _has_text(response):
        written = 0
    is_counted = bool(read) and written is not None
    reserved = budget.estimate(params)
    if not read:
        read = budget.estimated_input(params)
    if written is None:
        written = max(0, reserved - read)
    details = getattr(counted, "prompt_tokens_details", None)
    cached = min(_tokens(details, "cached_tokens") or 0, read)
    usd = _usd(litellm, model, read, written, cached, getattr(counted, "cost", None))
    return Usage(read, written, usd, model.name, cached, latency_ms), is_counted


def _tokens(counted: Any, name: str) -> int | None:
    """A count above 0 that can be believed, else None. litellm fills in 0 for what a server did not report."""
    number = getattr(counted, name, None)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        return None
    return math.ceil(number) if 0 < number <= MOST_TOKENS else None


def _has_text(response: Any) -> bool:
    choices = getattr(response, "choices", None) or []
    return any(getattr(choice.message, "content", None) for choice in choices)


def _usd(litellm: Any, model: Model, read: int, written: int, cached: int, reported: Any) -> float | None:
    """US dollars by the price in the project file, or as the server reports where that says so, else by litellm's table.

    None: the price is not known.
    """
    if isinstance(model.price, Price):
        return (read * model.price.input + written * model.price.output) / 1e6
    if model.price == "server":
        return _believed(reported)
    try:
        parts = litellm.cost_per_token(
            model=model.name, prompt_tokens=read, completion_tokens=written, cache_read_input_tokens=cached
        )
    except Exception:  # litellm raises a bare Exception for a model that it does not know
        return None
    return _believed(sum(parts)) or None


def _believed(usd: Any) -> float | None:
    if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 <= usd < math.inf:
        return None
    return float(usd)
