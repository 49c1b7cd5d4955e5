"""What the steps of a turn remember, for the commit that records them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agentctl.core.commands import Command, Remember


def remembered(commands: Iterable[Command]) -> dict[str, Any]:
    """Values by key; of two steps that set one key, the later counts."""
    values: dict[str, Any] = {}
    for command in commands:
        if isinstance(command, Remember):
            values.update(command.values)
    return values
