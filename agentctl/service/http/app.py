"""The routes, and the gate before them: without the token nobody comes to a path, not even to learn that there is none."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentctl.errors import StoreError
from agentctl.service.http import answers, events, health, hooks, metrics
from agentctl.service.http.answers import Refusal
from agentctl.service.http.context import Desk

_OPEN = ("/healthz", "/readyz")
_HOOKS = "/hooks/"


def build(desk: Desk) -> ASGIApp:
    app = Starlette(
        routes=[
            Route("/healthz", health.healthz),
            Route("/readyz", health.readyz),
            Route("/metrics", metrics.get),
            Route("/events/{name:path}", events.post, methods=["POST"]),
            Route(_HOOKS + "{path:path}", hooks.post, methods=["POST"]),
        ],
        exception_handlers={
            Refusal: answers.on_refusal,
            StoreError: answers.on_store_error,
            HTTPException: answers.on_http_error,
            ClientDisconnect: answers.on_disconnect,
            Exception: answers.on_bug,
        },
    )
    app.router.redirect_slashes = False
    app.state.desk = desk
    return Gate(app, desk)


class Gate:
    """Also counts the answers."""

    def __init__(self, app: ASGIApp, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._desk.context.figures.requests[message["status"]] += 1
            await send(message)

        request = Request(scope)
        if _is_open(request) or self._desk.token.is_in(request.headers.get("authorization")):
            await self._app(scope, receive, counted)
        else:
            why = "no token" if "authorization" not in request.headers else "another token than ours"
            await answers.refused(request, answers.unauthorized(why))(scope, receive, counted)


def _is_open(request: Request) -> bool:
    """Whether it needs no token; of a delivery to a webhook, the signature is looked at where it is taken."""
    path = request.scope["path"]
    return path in _OPEN or (request.method == "POST" and path.startswith(_HOOKS))
