"""POST /events/NAME: an event from outside, as by `agentctl send`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from agentctl import JSON
from agentctl.language.event_names import event_id_flaw, event_name_flaw
from agentctl.ports import NewEvent
from agentctl.service.http import body, responses
from agentctl.service.http.context import Context
from agentctl.service.http.responses import Refusal
from agentctl.triggers.ids import new_run_id

ID_HEADER = "Idempotency-Key"


async def post(request: Request) -> Response:
    context: Context = request.app.state.context
    name = request.path_params["name"]
    flaw = event_name_flaw(name) or _id_flaw(request)
    if flaw is not None:
        raise Refusal(400, "usage", flaw)
    data = _data(body.text(await body.read(request), request.headers.get("content-type", "")))
    demand_ready(context)
    event_id = request.headers.get(ID_HEADER) or f"evt-{new_run_id()}"
    event = NewEvent(name, data, event_id, context.clock.now())
    return responses.json(await context.record(event, context.triggers.starts(event), "http"), 202)


def demand_ready(context: Context) -> None:
    """Refuse until recovery and the first look at the definitions are done: what an event starts is not known before."""
    if reasons := context.unready():
        raise responses.unavailable(f"not ready: {'; '.join(reasons)}")


def _id_flaw(request: Request) -> str | None:
    given = request.headers.get(ID_HEADER)
    flaw = None if given is None else event_id_flaw(given)
    return flaw and f"{ID_HEADER}: {flaw}"


def _data(content: str) -> JSON:
    if not content.strip():
        return {}
    try:
        return body.decode(content)
    except ValueError as error:
        raise Refusal(400, "usage", f"the body is no JSON that can be taken: {error}") from None
