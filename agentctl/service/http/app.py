"""The routes, and the gate before them: without the token nobody comes to a path, not even to learn that there is none."""

from __future__ import annotations

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

BUSY = 128  # requests under way, beyond which further ones are to come back later
LARGEST_HEAD = 16 << 10  # bytes of a request's line and headers

_OPEN = ("/healthz", "/readyz")
_HOOKS = "/hooks/"


def build(desk: Context) -> ASGIApp:
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
    app.state.desk = desk
    return Gate(app, desk)


class Gate:
    """Lets in those with the token, and not too many at a time. Also counts the answers."""

    def __init__(self, app: ASGIApp, desk: Context) -> None:
        self._app = app
        self._desk = desk
        self._refusals = responses.RefusalLog()
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["refusals"] = self._refusals
        receive, send = lingering(receive, send)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._desk.figures.requests[message["status"]] += 1
            await send(message)

        refusal = self._refusal(Request(scope))
        if refusal is not None:
            await responses.refused(Request(scope), refusal)(scope, receive, counted)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, counted)
        finally:
            self._under_way -= 1

    def _refusal(self, request: Request) -> Refusal | None:
        path = request.scope["path"]
        flaw = _head_flaw(request.scope)
        if flaw is not None:
            return flaw
        if path in _OPEN:
            return None
        if self._under_way >= BUSY:
            return responses.unavailable("too many requests are under way", "busy")
        if request.method == "POST" and path.startswith(_HOOKS):
            return None  # the signature is looked at where the delivery is taken
        authorization = request.headers.get("authorization")
        if self._desk.token.is_in(authorization):
            return None
        return responses.unauthorized("no token" if authorization is None else "another token than ours")


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
