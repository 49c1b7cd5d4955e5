"""uvicorn, made safe to stand in the open: limits on connections, a deadline for each request, no say in signals."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.h11_impl import H11Protocol

from agentctl.service.http.app import LARGEST_HEAD
from agentctl.service.http.token import Token

# Beyond which a connection that has shown no token gives way to a new one, the oldest of the address that has most of them: the
# files that a process may open are for its steps, too, and nobody who only waits keeps the others out.
MOST_CONNECTIONS = 256
DEADLINE = 30.0  # seconds from the beginning of a connection, or of waiting for its next request, to the end of that request
KEPT_ALIVE = 5  # seconds that a connection may wait for its next request
GRACE = 5  # seconds for requests under way when the service stops


class Server(uvicorn.Server):
    """Stops when `should_exit` is set; requests under way get GRACE."""

    def __init__(self, app: ASGIApp, token: Token) -> None:
        class Known(Connection):
            """A connection that knows our token."""

        Known.token = token
        super().__init__(
            uvicorn.Config(
                app,
                http=Known,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # its warnings are of nonsense that anybody can send, as often as he likes
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEPT_ALIVE,
                timeout_graceful_shutdown=GRACE,
                h11_max_incomplete_event_size=LARGEST_HEAD,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The service takes them, not its HTTP interface."""
        yield


class Connection(H11Protocol):
    """Closes when a request has not come as a whole within DEADLINE: who sends a byte a minute holds nothing up for long.

    That includes the rest of a body that was refused, which is read and thrown away (`linger`).
    """

    token: Token

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._opened = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        super().connection_made(transport)
        self._opened = self.loop.time()
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()
        self._await_request()

    def _make_room(self) -> None:
        others = [one for one in self.connections if isinstance(one, Connection) and one is not self and not one.has_token]
        if not others:
            self.transport.abort()
            return
        by_peer = Counter(one.peer for one in others)
        most = max(by_peer.values())
        oldest = min((one for one in others if by_peer[one.peer] == most), key=lambda one: one._opened)
        oldest.transport.abort()

    @property
    def peer(self) -> str:
        return self.client[0] if self.client else ""

    @property
    def has_token(self) -> bool:
        """Whether the request that it is about carries the token."""
        scope: HTTPScope | None = self.scope  # None before the first request
        headers = {} if scope is None else dict(scope["headers"])
        return self.token.is_in(headers.get(b"authorization", b"").decode("latin-1"))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is not None and self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:
        """For what is no HTTP: an error like every other."""
        body = b'{"error":{"type":"usage","message":"this is no HTTP request that can be read"}}\n'
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
        for event in (h11.Response(status_code=400, headers=headers, reason=b"Bad Request"), h11.Data(body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        if self._deadline is None:
            self._await_request()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def _await_request(self) -> None:
        self._deadline = self.loop.call_later(DEADLINE, self.transport.abort)
