"""What `agentctl doctor` reports about the loops of a project: paused, outdated, stalled or always failing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agentctl.errors import AgentctlError
from agentctl.ports import Finding

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import Deployment, Store

_MOST = 5  # of one kind are listed one by one


def examine(project: Project) -> Iterator[Finding]:
    """Return the findings; none when all is well, or when the store cannot be read, which is a finding of its own."""
    from agentctl.cli.context import glance

    with glance(project) as store:
        if store is None:
            return
        try:
            found = [*_deployments(store), *_stalled(store), *_failing(store)]
        except AgentctlError:
            return
    yield from found


def _deployments(store: Store) -> Iterator[Finding]:
    from agentctl.render.text import clock, visible

    serving = store.serving() is not None
    for deployment in store.deployments():
        if deployment.gone:
            continue
        if deployment.paused_at is not None:
            message = f"{deployment.kind} '{deployment.name}' is paused since {clock(deployment.paused_at)}"
            yield Finding("deployments.paused", "warning", message, f"agentctl unpause {deployment.name}")
        # Without a service no process follows the files: what the store has may be fixed by now.
        if deployment.problem and serving:
            fix = f"agentctl validate {deployment.file} shows the lines"
            yield Finding("deployments", "warning", f"{_serves(deployment)}: {visible(deployment.problem)}", fix)


def _serves(deployment: Deployment) -> str:
    if not deployment.version:
        return f"{deployment.kind} '{deployment.name}' is not deployed"
    return f"{deployment.kind} '{deployment.name}' is served at its last good version, {deployment.version[:12]}"


def _stalled(store: Store) -> Iterator[Finding]:
    from agentctl.cli.queries import stalled_runs
    from agentctl.render.history import stalled_line

    now = time.time()
    found = stalled_runs(store, now)
    for row, since in found[:_MOST]:
        message = f"run {row.id} of '{row.name}' ({row.status}) is {stalled_line(row, since, now, f'agentctl resume {row.id}')}"
        yield Finding("runs.stalled", "warning", message, f"agentctl show {row.id}")
    if len(found) > _MOST:
        message = f"{len(found) - _MOST} more runs make no progress"
        yield Finding("runs.stalled", "warning", message, "agentctl history --stalled")


def _failing(store: Store) -> Iterator[Finding]:
    from agentctl.render.text import error_line
    from agentctl.service.parts.failure_monitor import failing
    from agentctl.views.health import LATELY

    for name, row in failing(store, store.deployments()).items():
        why = f": {error_line(row.error)}" if row.error else ""
        message = f"the last {LATELY} runs of '{name}' have all failed{why}"
        yield Finding("runs.failing", "warning", message, f"agentctl show {row.id}")
