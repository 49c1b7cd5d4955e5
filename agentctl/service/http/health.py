"""GET /healthz and /readyz, which need no credential: they say nothing that a stranger could use."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agentctl.service.http import responses
from agentctl.service.http.context import Context


async def healthz(request: Request) -> Response:
    """The process answers: its event loop turns."""
    return responses.json({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Whether events are taken now. 503 with the reasons while they are not."""
    context: Context = request.app.state.context
    reasons = [*context.unready(), *filter(None, [await context.store_probe.flaw()])]
    if reasons:
        return responses.json({"status": "unready", "reasons": reasons}, 503, responses.AGAIN)
    return responses.json({"status": "ready"})
