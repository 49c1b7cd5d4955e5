"""Answers to requests that are refused or fail: `{"error": {"type", "message"}}`, and a line in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from agentctl import JSON
from agentctl.errors import StoreError

log = logging.getLogger("agentctl.http")

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="agentctl"'}
MOST_LINES = 20  # of the log, for refusals, in a second
AGAIN = {"Retry-After": "5"}  # seconds


class Refusal(Exception):
    """A request that is not served. `message` is for the client, `why` for the log where that says more."""

    def __init__(self, status: int, type: str, message: str, *, why: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.why = why or message
        self.headers = dict(headers or {})


def unauthorized(why: str) -> Refusal:
    """The same for every path, so that nobody learns without a credential which there are."""
    return Refusal(401, "unauthorized", "this needs a credential: the bearer token, or a signature", why=why, headers=CHALLENGE)


def unavailable(message: str, type: str = "unavailable") -> Refusal:
    return Refusal(503, type, message, headers=AGAIN)


def json(content: JSON, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content) + b"\n", status, headers, "application/json")


class RefusalLog:
    """A line for each refusal, but for MOST_LINES in a second: a flood of requests shall not become one of the log."""

    def __init__(self) -> None:
        self._began = 0.0
        self._lines = 0

    def tell(self, request: Request, refusal: Refusal) -> None:
        """The query is not logged: people put secrets there. In the path, what could forge a line is written out."""
        now = time.monotonic()
        if now >= self._began + 1.0:
            if self._lines > MOST_LINES:
                log.warning("%d more requests were refused in the second after", self._lines - MOST_LINES)
            self._began, self._lines = now, 0
        self._lines += 1
        if self._lines <= MOST_LINES:
            peer = request.client.host if request.client else "?"
            log.warning("%s: %s %s from %s: %s", refusal.status, request.method, ascii(request.scope["path"]), peer, refusal.why)


def refused(request: Request, refusal: Refusal) -> Response:
    """Answer and log. `request.state` has the RefusalLog."""
    request.state.refusals.tell(request, refusal)
    return json({"error": {"type": refusal.type, "message": refusal.message}}, refusal.status, refusal.headers)


async def on_refusal(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    return refused(request, refusal)


async def on_store_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError)
    message = "the event cannot be kept now; nothing was recorded: send it again"
    return refused(request, Refusal(503, error.kind, message, why=str(error), headers=AGAIN))


async def on_http_error(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: a path that is not there, a method that is not for it."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        message = f"{request.method} is not for this path"
        return refused(request, Refusal(405, "method_not_allowed", message, headers=error.headers))
    return refused(request, Refusal(404, "not_found", "there is nothing at this path"))


async def on_disconnect(request: Request, error: Exception) -> Response:
    """Nobody is there to read this answer."""
    assert isinstance(error, ClientDisconnect)
    return Response(status_code=400)


async def on_bug(request: Request, error: Exception) -> Response:
    """The traceback is the log's: uvicorn writes it there."""
    return json({"error": {"type": "internal", "message": "something went wrong here; the log says what"}}, 500)
