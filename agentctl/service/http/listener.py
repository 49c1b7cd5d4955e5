"""`serve --listen`: the part of the service that listens for HTTP."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from msgspec import structs

from agentctl.errors import UsageError
from agentctl.service.http import address as addresses
from agentctl.service.http.address import Address

if TYPE_CHECKING:
    from agentctl.service.http.context import Context
    from agentctl.service.http.server import Server


log = logging.getLogger("agentctl.http")


class Listener:
    """A Component of the service. Client are answered from `begin` on: until the service is ready, that it is not."""

    name = "http"

    def __init__(self, address: Address, context: Context) -> None:
        self._address = address
        self._context = context
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.url = ""  # http://127.0.0.1:8420, known once begun

    async def begin(self) -> None:
        """Raises UsageError, CannotListen: the address cannot be used, or the packages are not installed."""
        server = _server(self._context)
        listening = addresses.bind(self._address, only_loopback=not self._context.token.explicit)
        self.url = addresses.url(listening)
        # If it has to begin again: at the same port.
        self._address = structs.replace(self._address, port=listening.getsockname()[1])
        self._server = server
        self._serving = asyncio.create_task(server.serve([listening]))
        log.info("listening at %s; the bearer token is that of %s", self.url, self._context.token.origin)

    async def run(self) -> None:
        if self._serving is None:
            await self.begin()
            assert self._serving is not None
        try:
            await asyncio.shield(self._serving)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        """Accept no more, and let the requests under way finish."""
        server, serving = self._server, self._serving
        self._server = self._serving = None
        if server is None or serving is None:
            return
        server.should_exit = True
        await serving

    def look(self) -> None:
        """What changed in the store does not concern those who ask later."""


def _server(context: Context) -> Server:
    try:
        from agentctl.service.http.app import build
        from agentctl.service.http.server import Server
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("starlette", "uvicorn", "h11", "anyio"):
            raise
        raise UsageError(f"--listen needs the package {error.name}: pip install 'agentctl[serve]'") from None
    return Server(build(context), context.token)
