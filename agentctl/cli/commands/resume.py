"""`agentctl resume`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import complete, context, output, params, queries
from agentctl.errors import NotFound, NothingToResume, UsageError
from agentctl.expressions.suggestions import did_you_mean
from agentctl.ports import FINISHED

if TYPE_CHECKING:
    from agentctl.core.resume import Intent
    from agentctl.core.state import RunState
    from agentctl.language.project.project import Project
    from agentctl.ports import RunRow, StoredDefinition


EXAMPLES = ("agentctl resume last", "agentctl resume last --from deploy --plan")


def command(  # long: half of it declares the options
    run: params.ResumableRun,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STEP",
            help="Run this step (path or id) again, and all that depends on it.",
            autocompletion=complete.steps,
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be reused, rerun or run; change nothing.")] = False,
    latest: Annotated[
        bool, typer.Option("--latest", help="Continue with the edited file, if no finished step was changed.")
    ] = False,
    step: Annotated[
        str | None,
        typer.Option("--step", metavar="PATH", help="A step of unknown outcome; needs --as.", autocompletion=complete.doubts),
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Option("--as", metavar="VERDICT", help="What became of it: done, retry, failed.", autocompletion=complete.verdicts),
    ] = None,
    result: Annotated[
        str | None, typer.Option("--output", metavar="JSON", help="With --as done: the output of the step. Default: null.")
    ] = None,
    no_wait: params.NoWait = False,
    db: params.Db = None,
    json: params.Json = False,
) -> int:
    """Resume a run: finished steps are kept, failed ones run again.

    Interrupted, failed, cancelled, waiting and queued runs can be resumed. A blocked run continues when --step and --as say
    whether the step of unknown outcome took effect.
    """
    if step is not None or verdict is not None or result is not None:
        from agentctl.cli.foreground.resolve import resolve

        if start is not None or plan or latest:
            raise UsageError("--step with --as answers one question; leave out --from, --plan and --latest")
        return resolve(run, step, verdict, result, db, wait=not no_wait, json=json)
    project = context.project(db)
    with context.recorded(db, run) as (store, row):
        _refuse(row, start, latest=latest)
        state = queries.folded(store, store.journal(row.id)) if start or plan or latest else None
        redo = _redo(state, start) if state is not None and start else []
        pinned = store.definition(row.version)
    stored = _edited(project, pinned, row) if latest else None
    if not latest:
        _tell_of_edit(project, pinned, row)
    from agentctl.views.plan import edit_conflicts, resume_plan

    conflicts = edit_conflicts(state, stored, redo) if state is not None and stored is not None else []
    if plan and state is not None:
        _print_plan(resume_plan(state, redo, conflicts), json=json)
        return 0
    if conflicts and stored is not None:
        reasons = "\n".join(f"  {conflict.reason}" for conflict in conflicts)
        raise UsageError(f"{stored.file} changes steps that run {row.id} has finished; nothing was done:\n{reasons}")
    import asyncio

    return asyncio.run(_resume(project, row, redo, stored, db, wait=not no_wait, json=json))


async def _resume(
    project: Project,
    row: RunRow,
    redo: Sequence[str],
    stored: StoredDefinition | None,
    db: str | None,
    *,
    wait: bool,
    json: bool,
) -> int:
    from agentctl.cli.foreground.drive import drive, report, working
    from agentctl.cli.foreground.interrupts import handling_interrupts

    hints = context.Hints(row.id, project, db)
    with handling_interrupts(json=json) as interrupts, working(project) as (engine, watch):
        await context.follow_files(project, engine.store, drives=True)
        await engine.resume(row.id, redo, stored, vars=project.vars)
        ended = await drive(engine, watch, row.id, wait=wait, hints=hints, interrupts=interrupts)
    return report(ended, hints, json=json)


def _refuse(row: RunRow, start: str | None, *, latest: bool) -> None:
    """Raise UsageError for options that do not fit the run, before anything is changed."""
    if row.status == "succeeded" and start is None:
        raise NothingToResume(f"run {row.id} has succeeded: there is nothing to resume (`--from STEP` runs a step again)")
    if row.status not in FINISHED and (start is not None or latest):
        option = "--from" if start is not None else "--latest"
        raise UsageError(f"run {row.id} has not ended ({row.status}); {option} needs one that has: resume or cancel it first")


def _redo(state: RunState, start: str) -> list[str]:
    """Return the paths that `--from` runs again. It takes a path, or an id that only one step has."""
    from agentctl.core.resume import dependents

    paths = [start] if start in state.steps else [path for path, step in state.steps.items() if step.node.step.id == start]
    if not paths:
        raise NotFound(f"the run has no step {start!r}{did_you_mean(start, state.steps)}")
    if len(paths) > 1:
        raise UsageError(f"several steps are called {start!r}; give one by its path: {', '.join(paths[:8])}")
    return dependents(state, paths[0])


def _edited(project: Project, pinned: StoredDefinition | None, row: RunRow) -> StoredDefinition:
    """Load the definition as its file is now."""
    path = project.root / ("" if pinned is None else pinned.file)
    if not path.is_file():
        raise NotFound(f"the file of this run's definition is gone: {path}")
    stored = context.loaded(project, path)
    if stored.definition.name != row.name:
        raise UsageError(f"{stored.file} now defines {stored.definition.name!r}; run {row.id} is one of {row.name!r}")
    return stored


def _tell_of_edit(project: Project, pinned: StoredDefinition | None, row: RunRow) -> None:
    """Print a note when the file has changed since the run began."""
    from hashlib import sha256

    path = project.root / ("" if pinned is None else pinned.file)
    if pinned is None or not path.is_file() or sha256(path.read_bytes()).hexdigest() == row.version:
        return
    when = "" if row.status in FINISHED else " once the run has ended"
    output.note(f"{pinned.file} has changed since the run began; the run keeps its version, --latest takes the edit{when}")


def _print_plan(plan: Sequence[Intent], *, json: bool) -> None:
    from agentctl.render.text import columns, visible
    from agentctl.views.plan import plan_document

    if json:
        output.print_json(plan_document(plan))
    else:
        output.say(columns([(row.action, visible(row.path), visible(row.reason)) for row in plan]))
