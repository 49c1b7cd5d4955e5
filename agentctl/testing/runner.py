"""One case played to its end: what came of it, in the shape that expectations are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agentctl import JSON
from agentctl.core import events as ev
from agentctl.core.state import StepState
from agentctl.core.timestamps import parse_instant
from agentctl.language.cases import Case
from agentctl.ports import StoredDefinition
from agentctl.testing.external_events import event_of
from agentctl.testing.mocks import Mocks, Real
from agentctl.testing.simulator import ROOT, Moment, Simulator

START = "2026-01-01T00:00:00Z"  # of a case that names no time


@dataclass(frozen=True)
class Ready:
    """A case with all it needs to be played. `input`: complete and checked.  `load`: a skill by name.  `vars`: the project's."""

    case: Case
    stored: StoredDefinition
    input: dict[str, JSON]
    vars: Mapping[str, JSON]
    load: Callable[[str], StoredDefinition]
    real: Real


@dataclass(frozen=True)
class PlayedStep:
    """`runs`: attempts begun, ever.  `attempts`: of the last round.  `input`: None for a step that never began.

    `calls`: of an agent, the tools that it called.
    """

    status: str
    output: JSON
    error: dict[str, JSON] | None
    attempts: int
    runs: int
    input: JSON
    calls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Played:
    """`steps`: by path, those of child runs as `triage/look`.  `order`: paths as they began.  `elapsed`: virtual seconds.

    `commits`: the last event of each commit, in words.  `broken_promises`, `is_comparable`: see `stage.Simulator`.
    """

    status: str
    output: JSON
    error: dict[str, JSON] | None
    steps: dict[str, PlayedStep]
    order: list[str]
    elapsed: float
    commits: list[str]
    broken_promises: list[str]
    is_comparable: bool


def play(ready: Ready, crash: tuple[int, Moment] | None = None) -> Played:
    """Raises mocks.Broken when the case cannot continue. `crash`: see `stage.Simulator`."""
    case = ready.case
    stage = Simulator(case, _created(ready), ready.stored, ready.load, Mocks(case, ready.real), crash)
    stage.play()
    state = stage.root.state
    ended = state.finished_at if state.finished_at is not None else state.at
    return Played(
        status=state.status,
        output=state.output,
        error=state.error.to_json() if state.error is not None else None,
        steps=_steps(stage),
        order=list(stage.began),
        elapsed=round(ended - stage.start, 6),
        commits=stage.commits,
        broken_promises=stage.broken_promises,
        is_comparable=stage.is_comparable,
    )


def _created(ready: Ready) -> ev.RunCreated:
    case, definition = ready.case, ready.stored.definition
    start = parse_instant(case.start or START)
    return ev.RunCreated(
        at=start,
        run_id=ROOT,
        name=definition.name,
        kind=definition.kind,
        version=ready.stored.version,
        input=ready.input,
        trigger="manual" if case.event is None else "event",
        event=None if case.event is None else event_of(case.event, "event-0", start),
        vars={**ready.vars, **case.vars},
        replay_version=ev.REPLAY_VERSION,
    )


def _calls(step: StepState) -> tuple[str, ...]:
    turns = step.agent.turns if step.agent is not None else []
    return tuple(call.call.name for turn in turns for call in turn.calls.values() if call.call is not None)


def _steps(stage: Simulator) -> dict[str, PlayedStep]:
    return {
        run.prefix + path: PlayedStep(
            status=step.status,
            output=step.output,
            error=step.error.to_json() if step.error is not None else None,
            attempts=step.attempt,
            runs=stage.began.get(run.prefix + path, 0),
            input=stage.inputs.get(run.prefix + path),
            calls=_calls(step),
        )
        for run in stage.runs.values()
        for path, step in run.state.steps.items()
        if step.frame.role != "tools"
    }
