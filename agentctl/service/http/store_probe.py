"""Whether the store can be written, found out by writing to it."""

from __future__ import annotations

import asyncio

from agentctl.errors import StoreError
from agentctl.ports import Upkeep

_FRESH = 2.0  # seconds for which an answer holds: however many ask, the disk is asked that often
_PATIENCE = 5.0  # seconds that a write may take


class StoreProbe:
    def __init__(self, store: Upkeep) -> None:
        self._store = store
        self._felt: asyncio.Task[str | None] | None = None
        self._felt_at = 0.0

    async def flaw(self) -> str | None:
        """Why the store cannot be written, in a sentence without its path; None when it can be."""
        now = asyncio.get_running_loop().time()
        if self._felt is None or (self._felt.done() and now - self._felt_at > _FRESH):
            self._felt = asyncio.create_task(self._feel())
        return await asyncio.shield(self._felt)

    async def _feel(self) -> str | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._store.check_writable()
        except StoreError as error:
            return f"the store cannot be written ({error.kind})"
        except TimeoutError:
            return f"the store was not written within {_PATIENCE:.0f} s"
        finally:
            self._felt_at = asyncio.get_running_loop().time()
        return None
