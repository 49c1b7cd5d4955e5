"""What the other parts of the service want to know of the deployer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from agentctl.ports import StoredDefinition


class Deployed(Protocol):
    on_change: list[Callable[[], None]]
    """Called in the event loop, after one of the answers below has become another."""

    def definitions(self) -> Mapping[str, StoredDefinition]:
        """By name, what may be triggered now: the last good version of what is neither gone nor paused."""

    def paused(self) -> Mapping[str, StoredDefinition]:
        """By name, what would be triggered were it not paused."""
