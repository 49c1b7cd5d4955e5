"""The routes, and the gate before them: without the token nobody comes to a path, not even to learn that there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentctl.errors import StoreError
from agentctl.service.http import events, health, hooks, metrics, responses
from agentctl.service.http.context import Context
from agentctl.service.http.lingering_close import lingering
from agentctl.service.http.responses import Refusal

# Requests under way, beyond which further ones are to come back later. Those with the token have places of their own: whoever has
# none, or has to be looked at first (a webhook's signature), cannot keep them out.
BUSY = 128
BUSY_UNKNOWN = 128
BUSY_PEER = 64  # of the unknown ones, from one address
LARGEST_HEAD = 16 << 10  # bytes of a request's line and headers

_OPEN = ("/healthz", "/readyz")
_HOOKS = "/hooks/"


def build(context: Context) -> ASGIApp:
    app = Starlette(
        routes=[
            Route("/healthz", health.healthz),
            Route("/readyz", health.readyz),
            Route("/metrics", metrics.get),
            Route("/events/{name:path}", events.post, methods=["POST"]),
            Route(_HOOKS + "{path:path}", hooks.post, methods=["POST"]),
        ],
        exception_handlers={
            Refusal: responses.on_refusal,
            StoreError: responses.on_store_error,
            HTTPException: responses.on_http_error,
            ClientDisconnect: responses.on_disconnect,
            Exception: responses.on_bug,
        },
    )
    app.router.redirect_slashes = False
    app.state.context = context
    return Gate(app, context)


class Gate:
    """Lets in those with the token, and not too many at a time. Also counts the answers."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context
        self._refusals = responses.RefusalLog()
        self._known = 0  # requests under way, of those with the token
        self._unknown: Counter[str] = Counter()  # of the others, by the address they come from

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["refusals"] = self._refusals
        receive, send = lingering(receive, send)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._context.counters.answered(message["status"])
            await send(message)

        request = Request(scope)
        has_token = self._context.token.is_in(request.headers.get("authorization"))
        refusal = self._refusal(request, has_token)
        if refusal is not None:
            await responses.refused(request, refusal)(scope, receive, counted)
            return
        with self._place(request, has_token):
            await self._app(scope, receive, counted)

    @contextmanager
    def _place(self, request: Request, has_token: bool) -> Iterator[None]:
        peer = _peer(request)
        if has_token:
            self._known += 1
        else:
            self._unknown[peer] += 1
        try:
            yield
        finally:
            if has_token:
                self._known -= 1
            else:
                self._unknown[peer] -= 1
                self._unknown += Counter()  # forgets who has none under way

    def _refusal(self, request: Request, has_token: bool) -> Refusal | None:
        path = request.scope["path"]
        flaw = _head_flaw(request.scope)
        if flaw is not None:
            return flaw
        if path in _OPEN:
            return None
        if not has_token and not (request.method == "POST" and path.startswith(_HOOKS)):
            missing = request.headers.get("authorization") is None
            return responses.unauthorized("no token" if missing else "another token than ours")
        # A delivery to a webhook is let in; its signature is checked where it is taken.
        if has_token:
            is_busy = self._known >= BUSY
        else:
            is_busy = self._unknown[_peer(request)] >= BUSY_PEER or self._unknown.total() >= BUSY_UNKNOWN
        return responses.unavailable("too many requests are under way", "busy") if is_busy else None


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _head_flaw(scope: Scope) -> Refusal | None:
    """What uvicorn lets pass: a large head that comes in one piece, and a body whose end a proxy before us may see elsewhere."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    size = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(name) + len(value) + 4 for name, value in headers)
    if size > LARGEST_HEAD:
        return Refusal(431, "too_large", f"a request may have {LARGEST_HEAD} bytes of headers at most", headers=_CLOSE)
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}:
        return Refusal(400, "usage", "a request has a Content-Length or a Transfer-Encoding, not both", headers=_CLOSE)
    return None


_CLOSE = {"Connection": "close"}
