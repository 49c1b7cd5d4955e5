"""POST /hooks/PATH: deliveries to the `webhook` triggers of the definitions that are deployed.

A delivery is an event `agentctl.webhook.<path with dots>`. It starts the definitions on the path whose trigger it satisfies, each
by its own secret; at least one has to be. Its id is `<path>:<id of the delivery>`, so that one that comes again starts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from agentctl import JSON
from agentctl.expressions.secrecy import secret_parts
from agentctl.language.event_names import LONGEST, LONGEST_ID, OWN
from agentctl.model import Trigger
from agentctl.ports import NOTHING, Gather, NewEvent, NewRun, SecretSource, StoredDefinition, Triggered
from agentctl.service.http import body, responses
from agentctl.service.http.context import Context
from agentctl.service.http.events import demand_ready
from agentctl.service.http.responses import Refusal, log, unauthorized
from agentctl.service.http.signatures import Headers, Refused, SecretFlaw, delivery_id, digest, is_replayable
from agentctl.spec.triggers import WebhookSettings
from agentctl.triggers.events import starts_of
from agentctl.triggers.ids import new_run_id

_FORM = "application/x-www-form-urlencoded"
MOST_HEADERS, LONGEST_HEADER = 64, 1024  # headers of an event; characters of a header's value

# Headers that prove who sent a delivery, by whatever scheme: what signs, what identifies, what lets in.
_PROOF = re.compile(r"auth|cookie|sign|\bsig\b|hmac|digest|token|secret|passw|credential|jwt|session|cert|(?<!idempotency-)key\b")


class Served(msgspec.Struct, frozen=True):
    """Trigger `number` of a definition, which is on the path. `paused`: it takes deliveries, so that the sender does not give up,
    and starts nothing."""

    stored: StoredDefinition
    number: int
    paused: bool

    @property
    def trigger(self) -> Trigger:
        return self.stored.definition.triggers[self.number]

    @property
    def name(self) -> str:
        return self.stored.definition.name

    @property
    def settings(self) -> WebhookSettings:
        return msgspec.convert(self.trigger.settings, WebhookSettings)

    @property
    def scheme(self) -> str:
        return self.settings.scheme


async def post(request: Request) -> Response:
    context: Context = request.app.state.context
    demand_ready(context)  # before the definitions are read, no path would seem to be served
    path = normal(request.path_params["path"])
    deployed = context.deployed
    served = [*_served(deployed.definitions(), path, paused=False), *_served(deployed.paused(), path, paused=True)]
    if not served:
        if not context.token.is_in(request.headers.get("authorization")):
            raise unauthorized("no webhook is served there, and there is no token")
        raise Refusal(404, "not_found", f"no definition has the trigger `webhook: {path}`")
    content = await body.read(request)
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers.setdefault(name, value)  # of a header that comes twice the first one counts
    now = context.clock.now()
    passed, id_ = _passed(served, context, headers, content, now)
    data = _data(content, headers.get("content-type", ""))
    content_id = f"{path}:{digest(content)}" if any(is_replayable(one.scheme) for one in passed) else None
    event = NewEvent(event_name(path), data, f"{path}:{id_}", now, shown_headers(headers), content_id=content_id)
    return responses.json(await context.record(event, _starts(passed, event, context.vars), "webhook"), 202)


def normal(path: str) -> str:
    """A path as it is compared: one slash before each part, none at the end."""
    return "/" + "/".join(filter(None, path.split("/")))


def event_name(path: str) -> str:
    """What is no letter, digit, `_` or `-` in a part of the path is a `_`: a part of the path stays one part of the name."""
    parts = [re.sub(r"[^A-Za-z0-9_-]", "_", part) for part in path.split("/") if part]
    return (OWN + ".".join(["webhook", *parts]))[:LONGEST].rstrip(".")


def _served(definitions: Mapping[str, StoredDefinition], path: str, *, paused: bool) -> Iterator[Served]:
    for stored in definitions.values():
        for number, trigger in enumerate(stored.definition.triggers):
            if trigger.kind == "webhook" and normal(trigger.what) == path:
                yield Served(stored, number, paused)


def _passed(
    served: Sequence[Served], context: Context, headers: Headers, content: bytes, now: float
) -> tuple[list[Served], str]:
    """The triggers that accept the delivery, and its id. Raises Refusal when there is none."""
    passed: list[Served] = []
    ids: list[str] = []
    reasons: list[str] = []
    for one in served:
        try:
            secret = "" if one.settings.secret is None else _secret(context.secrets, one.settings.secret)
            id_ = delivery_id(one.scheme, secret, headers, content, now)
        except Refused as refused:
            reasons.append(f"{one.name}: {refused}")
        except SecretFlaw as flaw:
            log.error("the webhook %s of %s lets nobody in: %s", one.trigger.what, one.name, flaw)
            reasons.append(f"{one.name}: {flaw}")
        else:
            passed.append(one)
            ids += [id_] if id_ else []
    if not passed:
        raise _unsigned(context, headers, "; ".join(reasons))
    if ids and len(ids[0]) > LONGEST_ID:
        raise Refusal(400, "usage", f"the id of a delivery has {LONGEST_ID} characters at most")
    return passed, ids[0] if ids else new_run_id()


def _unsigned(context: Context, headers: Headers, why: str) -> Refusal:
    """Who has the token may know what is missing; to others every path says the same."""
    if not context.token.is_in(headers.get("authorization")):
        return unauthorized(why)
    message = "a delivery to this webhook needs the signature of its sender; the bearer token is not enough"
    return Refusal(401, "unauthorized", message, why=why, headers=responses.CHALLENGE)


def _secret(secrets: SecretSource, reference: str) -> str:
    try:
        return "".join(text + (secrets.read(name) if name else "") for text, name in secret_parts(reference))
    except KeyError as error:
        raise SecretFlaw(f"the secret {error.args[0]} is not set") from None


def shown_headers(headers: Headers) -> dict[str, str]:
    """The headers that a run sees, and its journal keeps: none that proves who sent the delivery, and not too many."""
    plain = ((name, value) for name, value in headers.items() if not _PROOF.search(name) and len(value) <= LONGEST_HEADER)
    return dict(islice(plain, MOST_HEADERS))


def _data(content: bytes, content_type: str) -> JSON:
    """JSON, a form as a mapping, or `{raw: text}`. Raises Refusal for bytes that are no text."""
    text = body.text(content, content_type)
    if content_type.partition(";")[0].strip().lower() == _FORM:
        return body.form(text)
    try:
        return body.decode(text)
    except ValueError:
        return {"raw": text}


def _starts(passed: Sequence[Served], event: NewEvent, vars: Mapping[str, JSON]) -> Triggered:
    """Each definition once, by the first of its triggers that fits."""
    runs: list[NewRun] = []
    gather: list[Gather] = []
    started: set[str] = set()
    for one in passed:
        if one.paused or one.name in started:
            continue
        starts = starts_of(one.stored, one.number, event, vars)
        if starts is not NOTHING:
            started.add(one.name)
        runs += starts.runs
        gather += starts.gather
    return Triggered(runs, gather)
