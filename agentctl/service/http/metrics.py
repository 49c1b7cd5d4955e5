"""GET /metrics: figures of the store as it is, and of what this process did, as text for Prometheus.

What is read from the store costs by the runs that have not finished and by the definitions, not by the history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from agentctl import __version__
from agentctl.ports import Deployment
from agentctl.service.http.context import Context
from agentctl.service.http.counters import Counters
from agentctl.service.http.prometheus import CONTENT_TYPE, ChildTracker, Kind, render

_PREFIX = "agentctl_"


async def get(request: Request) -> Response:
    desk: Context = request.app.state.desk
    return Response(render(_families(desk)), media_type=CONTENT_TYPE)


def _families(desk: Context) -> Iterator[ChildTracker]:
    figures = desk.figures
    yield _one("build_info", "gauge", "Which agentctl this is.", 1, version=__version__)
    yield _one("start_time_seconds", "gauge", "When this process began to serve, in epoch seconds.", figures.began_at)
    yield _one("ready", "gauge", "1: ready, as /readyz says but for the store.", 0 if desk.unready() else 1)
    unfinished = desk.store.unfinished()
    yield _many("runs", "gauge", "Runs that have not finished, by definition and status.", ("loop", "status"), unfinished)
    queued = sum(number for (_, status), number in unfinished.items() if status == "queued")
    yield _one("queue_depth", "gauge", "Runs that have not started.", queued)
    yield from _deployments(desk.store.deployments())
    yield from _counted(figures)
    yield _many("slots_total", "counter", "Slots settled here, by what became of them.", ("outcome",), desk.slots())


def _deployments(deployments: list[Deployment]) -> Iterator[ChildTracker]:
    states = Counter({"deployed": 0, "paused": 0, "gone": 0, "unusable": 0})
    states.update(_state(deployment) for deployment in deployments)
    yield _many("deployments", "gauge", "Definitions, by what triggers may do with them.", ("state",), states)
    flawed = {deployment.name: 1 for deployment in deployments if deployment.problem is not None and not deployment.gone}
    told = "1: the definition's file as it is now is not used; its last good version, if there is one, is."
    yield _many("deployment_problem", "gauge", told, ("loop",), flawed)


def _state(deployment: Deployment) -> str:
    if deployment.gone:
        return "gone"
    if not deployment.version:
        return "unusable"
    return "paused" if deployment.paused_at is not None else "deployed"


def _counted(figures: Counters) -> Iterator[ChildTracker]:
    yield _many("runs_finished_total", "counter", "Runs that finished here, by how.", ("loop", "status"), figures.runs)
    yield _many("steps_total", "counter", "Steps that ended here, by how.", ("status",), figures.steps)
    yield _many("attempts_total", "counter", "Attempts of steps here, started and failed.", ("event",), figures.attempts)
    yield _many("events_received_total", "counter", "Events that came by HTTP.", ("via", "outcome"), figures.events)
    yield _many("http_requests_total", "counter", "Client answered, by status code.", ("code",), figures.requests)
    yield _one("event_commits_total", "counter", "Commits of events that came by HTTP.", figures.commits)
    told = "Seconds from handing in such an event to the end of its commit."
    yield _one("event_commit_seconds_total", "counter", told, figures.commit_seconds)


def _one(name: str, kind: Kind, help: str, value: float, **labels: str) -> ChildTracker:
    return ChildTracker(_PREFIX + name, kind, help, [(labels, value)])


def _many(name: str, kind: Kind, help: str, labels: tuple[str, ...], values: Mapping[Any, float]) -> ChildTracker:
    """`values`: by the value of the one label, or by a tuple of those of several."""
    samples = [
        (dict(zip(labels, map(str, key if isinstance(key, tuple) else (key,)), strict=True)), value)
        for key, value in sorted(values.items(), key=str)
    ]
    return ChildTracker(_PREFIX + name, kind, help, samples)
