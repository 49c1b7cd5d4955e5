"""The entry of the journal that an activation becomes: its events, its effects and its new runs, in one commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from agentctl.core.activation import Activation, ActiveRun
from agentctl.core.state import RunState
from agentctl.engine.children import ChildStart
from agentctl.ports import Append, Lease, NewEvent, Progress, RunStatus, Triggered, Triggers


def entry_of(
    step: Activation,
    run: ActiveRun,
    *,
    lease: Lease,
    version: str,
    consumed: Sequence[int],
    starts: Mapping[str, ChildStart],
    triggers: Triggers,
    at: float,
    release: bool,
    alone: bool,
) -> Append:
    """`run`: after the activation.  `version`: of its definition before.  `starts`: children by path.  The rest: see `Append`."""
    effects = step.effects
    return Append(
        lease=lease,
        head=run.head - len(step.events),
        events=step.events,
        progress=_progress_of(run.state, version),
        spawn=[start.new for start in starts.values() if start.new is not None] if starts else (),
        replies=[start.resumed for start in starts.values() if start.resumed is not None] if starts else (),
        consumed=consumed,
        emitted=_triggered(step, triggers),
        forgotten=effects.closed,
        waits=effects.waits,
        keys=effects.keys,
        at=at,
        remember=effects.remember,
        settle=effects.settle,
        reserve=effects.reserve,
        release=release,
        alone=alone,
        snapshot=run.snapshot(rests=release),
    )


def _triggered(step: Activation, triggers: Triggers) -> Sequence[tuple[NewEvent, Triggered]]:
    """The events of an activation, each with the runs that it starts."""
    effects = step.effects
    if effects.run_event is None:
        return [(event, triggers.starts(event)) for event in effects.emitted] if effects.emitted else ()
    return [(event, triggers.starts(event)) for event in (*effects.emitted, effects.run_event)]


def _progress_of(state: RunState, version: str) -> Progress:
    """The projection of the run's state that is written beside the events."""
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
