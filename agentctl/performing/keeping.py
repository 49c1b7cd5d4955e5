"""Large outputs on their way into the journal, and out of it to the next action."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from agentctl import JSON, spec
from agentctl.errors import ActionError, ExpressionError
from agentctl.expressions.large import is_reference, loaded
from agentctl.ports import LargeOutput, Outcome, Surroundings

Retry = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


async def once(write: Callable[[], Awaitable[Any]]) -> Any:
    """A `Retry` that tries once."""
    return await write()


async def kept(outcome: Outcome, around: Surroundings, retry: Retry) -> JSON:
    """The output as the journal has it; a large one is kept as a file first, tried until the store takes it.

    Raises StoreError when it never will.
    """
    output = outcome.output
    if isinstance(output, dict):  # one of its values may be large, such as a `body`
        for key, value in output.items():
            if isinstance(value, LargeOutput):
                output = {**output, key: await _keep(value, around, retry)}
        return output
    return await _keep(output, around, retry) if isinstance(output, LargeOutput) else output


async def _keep(output: LargeOutput, around: Surroundings, retry: Retry) -> JSON:
    try:
        return await retry(lambda: asyncio.to_thread(around.keep, output))
    finally:
        output.close()


def opened(uses: str, params: JSON) -> JSON:
    """Parameters as the action `uses` takes them: what is large is read, but for what the action streams or hands on.

    Raises ActionError for what is too large to be read.
    """
    found = spec.action(uses)
    if found is None or found.is_pure:
        return params
    try:
        if not isinstance(params, dict) or not found.streams:
            return loaded(params)
        return {key: value if key in found.streams and is_reference(value) else loaded(value) for key, value in params.items()}
    except ExpressionError as error:
        raise ActionError("expression", error.message, outcome="not_begun") from None
