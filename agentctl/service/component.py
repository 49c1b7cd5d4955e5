"""What the service is made of."""

from __future__ import annotations

from typing import Protocol


class Component(Protocol):
    """One thing that `serve` does beside driving runs, such as firing schedules or listening for HTTP.

    All parts live in one event loop. A part that raises StoreError from `run` is begun again when the store may be well; one that
    raises anything else has a bug, and is begun again with growing pauses a few times.
    """

    name: str
    """For the log and for people: `timekeeper`."""

    async def begin(self) -> None:
        """Whatever has to be so before the service says that it is ready. Raises AgentctlError: there is no service."""

    async def run(self) -> None:
        """Work until cancelled."""

    def look(self) -> None:
        """Something changed in the store, and it may concern this part: look again soon. Must return at once, and not raise."""
