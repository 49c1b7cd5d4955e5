"""The projection of a run's state that every commit writes beside the events."""

from __future__ import annotations

from typing import cast

from agentctl.core.state import RunState
from agentctl.ports import Progress, RunStatus


def progress_of(state: RunState, version: str) -> Progress:
    """`version`: that of the definition the run was on before the events of this commit."""
    status = cast(RunStatus, state.status)
    return Progress(
        status=status,
        started_at=state.started_at,
        finished_at=state.finished_at,
        steps_done=state.steps_done,
        steps_total=state.steps_total,
        usage=state.usage,
        output=state.output,
        error=state.error,
        wake_at=state.next_due if status in ("waiting", "blocked") else None,
        version=state.version if state.version != version else None,
    )
