"""`agentctl resume RUN --step PATH --as VERDICT`: a person's answer for a step of unknown outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentctl.cli import context, output, queries
from agentctl.errors import NotFound, NothingToResume, StoreBusy, UsageError
from agentctl.expressions.suggestions import did_you_mean
from agentctl.views.inbox import VERDICTS

if TYPE_CHECKING:
    from agentctl.core.state import RunState, StepState
    from agentctl.language.project.project import Project
    from agentctl.ports import RunRow


def resolve(
    run: str, path: str | None, verdict: str | None, result: str | None, db: str | None, *, wait: bool, json: bool
) -> int:
    """Record the answer and drive the run, from the topmost run that waits for it; return the exit code.

    Raises UsageError (options that make no sense, bad JSON, a step that is not in doubt), NotFound.
    """
    import asyncio

    path, verdict = _checked(path, verdict)
    value = _read_output(verdict, result)
    project = context.project(db)
    with context.recorded(db, run) as (store, row):
        step = _in_doubt(row, queries.folded(store, store.journal(row.id)), path)
        driver = queries.driver(store, row.id)
    return asyncio.run(_resolve(project, row, driver, step.path, verdict, value, db, wait=wait, json=json))


async def _resolve(
    project: Project,
    row: RunRow,
    driver: RunRow,
    path: str,
    verdict: str,
    value: Any,
    db: str | None,
    *,
    wait: bool,
    json: bool,
) -> int:
    from agentctl.cli.approvals import login_name
    from agentctl.cli.foreground.drive import drive, report, working
    from agentctl.cli.foreground.interrupts import handling_interrupts
    from agentctl.views.runs import outcome_document

    hints = context.Hints(driver.id, project, db)
    with handling_interrupts(json=json) as interrupts, working(project) as (engine, watch):
        await context.follow_files(project, engine.store, drives=True)
        await engine.resolve(row.id, path, verdict, output=value, by=login_name())
        try:
            ended = await drive(engine, watch, driver.id, wait=wait, hints=hints, interrupts=interrupts)
        except StoreBusy:
            output.note(f"the answer is kept; another process drives run {driver.id} and continues it")
            if json:
                output.print_json(outcome_document(engine.store.run(driver.id) or driver))
            return 0
    return report(ended, hints, json=json)


def _checked(path: str | None, verdict: str | None) -> tuple[str, str]:
    if path is None:
        raise UsageError("--as and --output speak of a step: name it with --step PATH")
    if verdict is None:
        raise UsageError(f"--step {path} needs --as done, --as retry or --as failed")
    if verdict not in VERDICTS:
        raise UsageError(f"--as takes done, retry or failed, not {verdict!r}{did_you_mean(verdict, VERDICTS)}")
    return path, verdict


def _read_output(verdict: str, text: str | None) -> Any:
    """Read the value of --output. Raises UsageError when it is not JSON, or the verdict is not `done`."""
    if text is None:
        return None
    if verdict != "done":
        raise UsageError(f"--output goes with --as done; a step that is `{verdict}` has no output")
    import msgspec

    try:
        return msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise UsageError(f"--output takes JSON (a text in quotes: '\"paid\"'), not {text!r}: {error}") from None


def _in_doubt(row: RunRow, state: RunState, path: str) -> StepState:
    """Return the step that a path, or an id of one step, names. Raises NotFound; UsageError when its outcome is known."""
    named = [state.steps[path]] if path in state.steps else [s for s in state.steps.values() if s.node.step.id == path]
    if not named:
        raise NotFound(f"run {row.id} has no step {path!r}{did_you_mean(path, state.steps)}")
    doubtful = [step for step in named if _awaits_verdict(row, step, state)]
    if len(doubtful) > 1:
        paths = ", ".join(step.path for step in doubtful)
        raise UsageError(f"several steps called {path!r} are in doubt; give one by its path: {paths}")
    if doubtful and row.status == "succeeded":  # a `return` cut the step off
        raise NothingToResume(f"run {row.id} has succeeded without step {doubtful[0].path}: there is nothing to resume")
    if not doubtful:
        raise UsageError(f"step {named[0].path} of run {row.id} is not in doubt: {_why_not(named[0])}")
    return doubtful[0]


def _awaits_verdict(row: RunRow, step: StepState, state: RunState) -> bool:
    """Return whether the outcome is unknown, also when the process died and no other has driven the run since."""
    if step.status == "unknown":
        return not step.frames
    cut_off = row.status == "interrupted" and step.path in state.executing and step.node.is_once
    return cut_off and step.node.step.on_unknown == "ask"


def _why_not(step: StepState) -> str:
    if step.status == "unknown" or (step.node.is_once and step.status == "running"):
        return "it is under way, or its `on_unknown` decides first (`agentctl resume RUN`)"
    return f"it is {step.status.replace('_', ' ')}"
