"""What a turn says of recorded results, in the shape in which the store takes it: part of the turn's own commit."""

from __future__ import annotations

from collections.abc import Iterable

from agentctl.core.commands import Command, FindResult
from agentctl.core.state import RunState
from agentctl.ports import KeyOrder


def key_orders(state: RunState, commands: Iterable[Command]) -> list[KeyOrder]:
    """A search whose answer was in the mail of this very turn is left out: it would be answered twice."""
    return [
        command
        for command in commands
        if isinstance(command, KeyOrder)
        and not (isinstance(command, FindResult) and state.lookups.get(command.path) != command.key)
    ]
