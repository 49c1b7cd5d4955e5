"""POST /hooks/PATH: deliveries to the `webhook` triggers of the definitions that are deployed.

A delivery is an event `agentctl.webhook.<path with dots>`. It starts the definitions on the path whose trigger it satisfies, each
by its own secret; at least one has to be. Its id is `<path>:<id of the delivery>`, so that one that comes again starts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agentctl.core.names import LONGEST
from agentctl.engine.ids import new_run_id
from agentctl.model import Trigger
from agentctl.ports import Gather, NewEvent, NewRun, Starts, StoredDefinition
from agentctl.service.http import answers, body
from agentctl.service.http.answers import Refusal, log, unauthorized
from agentctl.service.http.context import Context
from agentctl.service.http.events import LONGEST_ID, demand_ready
from agentctl.service.http.signatures import Refused, SecretFlaw, delivery_id
from agentctl.triggers.starts import starts_of

JSON = Any

_SECRET = re.compile(r"\s*\$\{\{\s*secrets\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}\s*")


async def post(request: Request) -> Response:
    context: Context = request.app.state.context
    path = normal(request.path_params["path"])
    served = list(_served(context, path))
    if not served:
        if not context.token.is_in(request.headers.get("authorization")):
            raise unauthorized("no webhook is served there, and there is no token")
        raise Refusal(404, "not_found", f"no definition has the trigger `webhook: {path}`")
    content = await body.read(request)
    passed, id_ = _passed(context, served, request, content)
    demand_ready(context)
    event = NewEvent(event_name(path), _data(content), f"{path}:{id_}", context.clock.now())
    return answers.json(await context.record(event, _starts(passed, event)), 202)


def normal(path: str) -> str:
    """A path as it is compared: one slash before each part, none at the end."""
    return "/" + "/".join(filter(None, path.split("/")))


def event_name(path: str) -> str:
    """What is no letter, digit, `_` or `-` in a part of the path is a `_`: the part stays one part of the name."""
    parts = [re.sub(r"[^A-Za-z0-9_-]", "_", part) for part in path.split("/") if part]
    return ".".join(["agentctl", "webhook", *parts])[:LONGEST].rstrip(".")


Served = tuple[StoredDefinition, Trigger]


def _served(context: Context, path: str) -> Iterator[Served]:
    for stored in context.definitions().values():
        for trigger in stored.definition.triggers:
            if trigger.kind == "webhook" and normal(trigger.what) == path:
                yield stored, trigger


def _passed(context: Context, served: list[Served], request: Request, content: bytes) -> tuple[list[Served], str]:
    """Whom the delivery convinces, and its id. Raises Refusal when that is nobody."""
    passed: list[Served] = []
    ids: list[str] = []
    reasons: list[str] = []
    headers = dict(reversed(request.headers.items()))  # of a header that comes twice the first one counts
    for stored, trigger in served:
        name = stored.definition.name
        try:
            scheme = trigger.settings.get("scheme", "standard")
            id_ = delivery_id(scheme, _secret(context, trigger), headers, content, context.clock.now())
        except Refused as refused:
            reasons.append(f"{name}: {refused}")
        except SecretFlaw as flaw:
            log.error("the secret of the webhook %s of %s lets nobody in: %s", trigger.what, name, flaw)
            reasons.append(f"{name}: its secret: {flaw}")
        else:
            passed.append((stored, trigger))
            ids += [id_] if id_ else []
    if not passed:
        raise unauthorized("; ".join(reasons))
    if ids and len(ids[0]) > LONGEST_ID:
        raise Refusal(400, "usage", f"the id of a delivery has {LONGEST_ID} characters at most")
    return passed, ids[0] if ids else new_run_id()


def _secret(context: Context, trigger: Trigger) -> str:
    match = _SECRET.fullmatch(str(trigger.settings.get("secret", "")))
    if match is None:
        return ""
    try:
        return context.secrets.read(match[1])
    except KeyError:
        raise SecretFlaw(f"there is no secret {match[1]}") from None


def _data(content: bytes) -> JSON:
    try:
        return body.decode(content)
    except ValueError:
        return {"raw": content.decode("utf-8", "replace")}


def _starts(passed: list[Served], event: NewEvent) -> Starts:
    runs: list[NewRun] = []
    gather: list[Gather] = []
    for stored, trigger in passed:
        starts = starts_of(stored, trigger, event)
        runs += starts.runs
        gather += starts.gather
    return Starts(runs, gather)
