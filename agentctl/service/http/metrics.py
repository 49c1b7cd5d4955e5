"""GET /metrics: the store as it is, and what this process counted, as text for Prometheus.

What is read from the store costs by the runs that have not finished and by the definitions, not by the history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from agentctl import __version__
from agentctl.ports import Deployment
from agentctl.service.http.context import Context

_PREFIX = "agentctl_"


async def get(request: Request) -> Response:
    context: Context = request.app.state.context
    present = CollectorRegistry()
    present.register(_Present(context))
    text = generate_latest(present) + generate_latest(context.counters.registry)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Present(Collector):
    """Gauges of the service and of the store."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def describe(self) -> list[Metric]:
        """Nothing: else the registry would collect once to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        context = self._context
        yield _gauge("build_info", "Which agentctl this is.", [((__version__,), 1)], "version")
        began_at = context.counters.began_at
        yield _gauge("start_time_seconds", "When this process began to serve, in epoch seconds.", [((), began_at)])
        yield _gauge("ready", "1: ready, as /readyz says but for the store.", [((), 0 if context.unready() else 1)])
        unfinished = context.store.unfinished()
        yield _gauge("runs", "Runs that have not finished, by definition and status.", unfinished.items(), "loop", "status")
        queued = sum(number for (_, status), number in unfinished.items() if status == "queued")
        yield _gauge("queue_depth", "Runs that have not started.", [((), queued)])
        yield from _deployments(context.store.deployments())
        slots = CounterMetricFamily(f"{_PREFIX}slots", "Slots settled here, by what became of them.", labels=("outcome",))
        for outcome, number in sorted(context.slots().items()):
            slots.add_metric((outcome,), number)
        yield slots
        failing = [(subject, 1) for subject in context.problems.present]
        yield _gauge("problem", "1: fails, while the others continue; the log says why.", failing, "part", "subject")


def _deployments(deployments: list[Deployment]) -> Iterator[Metric]:
    states = Counter({"deployed": 0, "paused": 0, "gone": 0, "unusable": 0})
    states.update(_state(deployment) for deployment in deployments)
    by_state = [((state,), number) for state, number in states.items()]
    yield _gauge("deployments", "Definitions, by what triggers may do with them.", by_state, "state")
    flawed = [((deployment.name,), 1) for deployment in deployments if deployment.problem is not None and not deployment.gone]
    help = "1: the definition's file as it is now is not used; its last good version, if there is one, is."
    yield _gauge("deployment_problem", help, flawed, "loop")


def _state(deployment: Deployment) -> str:
    if deployment.gone:
        return "gone"
    if not deployment.version:
        return "unusable"
    return "paused" if deployment.paused_at is not None else "deployed"


def _gauge(name: str, help: str, values: Iterable[tuple[tuple[str, ...], float]], *labels: str) -> Metric:
    """`values`: by the values of the labels."""
    family = GaugeMetricFamily(_PREFIX + name, help, labels=labels)
    for key, value in sorted(values):
        family.add_metric(key, value)
    return family
