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
    from agentctl.ports import RunRow, Store, StoredDefinition


def command(
    run: params.ResumableRun,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="STEP", help="Run this step (path or id) and all that needs it anew.", autocompletion=complete.steps
        ),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be reused, rerun or run; change nothing.")] = False,
    latest: Annotated[
        bool, typer.Option("--latest", help="Go on with the edited file, if no finished step was changed.")
    ] = False,
    step: Annotated[
        str | None,
        typer.Option("--step", metavar="PATH", help="A step in doubt; needs --as.", autocompletion=complete.doubts),
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
    """Go on with a run: what finished is kept, what failed is tried anew.

    Runs that were interrupted, that failed or were cancelled, that wait or are queued can be resumed. A run that is blocked
    goes on once --step and --as say what became of the step of which nobody knows whether it took effect.
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
        stored = _edited(project, store, row) if latest else None
    from agentctl.views.plan import edit_conflicts, resume_plan

    conflicts = edit_conflicts(state, stored, redo) if state is not None and stored is not None else []
    if plan and state is not None:
        _print_plan(resume_plan(state, redo, conflicts), json=json)
        return 0
    if conflicts and stored is not None:
        reasons = "\n".join(f"  {conflict.reason}" for conflict in conflicts)
        raise UsageError(f"{stored.file} was edited where run {row.id} is already through; nothing was changed:\n{reasons}")
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
    from agentctl.cli.foreground.interrupts import heard

    hints = context.Hints(row.id, project, db)
    with heard(json=json) as interrupts, working(project) as (engine, watch):
        await engine.resume(row.id, redo, stored, vars=project.vars)
        ended = await drive(engine, watch, row.id, wait=wait, hints=hints, interrupts=interrupts)
    return report(ended, hints, json=json)


def _refuse(row: RunRow, start: str | None, *, latest: bool) -> None:
    """What makes no sense for this run, said before anything is touched."""
    if row.status == "succeeded" and start is None:
        raise NothingToResume(f"run {row.id} has succeeded: there is nothing to resume (`--from STEP` runs a step anew)")
    if row.status not in FINISHED and (start is not None or latest):
        option = "--from" if start is not None else "--latest"
        raise UsageError(f"run {row.id} has not ended ({row.status}); {option} needs one that has: resume or cancel it first")


def _redo(state: RunState, start: str) -> list[str]:
    """`--from`: a path, or an id that only one step has. Raises NotFound, UsageError."""
    from agentctl.core.resume import dependents

    paths = [start] if start in state.steps else [path for path, step in state.steps.items() if step.node.step.id == start]
    if not paths:
        raise NotFound(f"the run has no step {start!r}{did_you_mean(start, state.steps)}")
    if len(paths) > 1:
        raise UsageError(f"several steps are called {start!r}; give one by its path: {', '.join(paths[:8])}")
    return dependents(state, paths[0])


def _edited(project: Project, store: Store, row: RunRow) -> StoredDefinition:
    """The definition as its file says now."""

    pinned = store.definition(row.version)
    path = project.root / ("" if pinned is None else pinned.file)
    if not path.is_file():
        raise NotFound(f"the file of this run's definition is gone: {path}")
    stored = context.loaded(project, path)
    if stored.definition.name != row.name:
        raise UsageError(f"{stored.file} now defines {stored.definition.name!r}; run {row.id} is one of {row.name!r}")
    return stored


def _print_plan(plan: Sequence[Intent], *, json: bool) -> None:
    from agentctl.render.text import columns, visible
    from agentctl.views.plan import plan_document

    if json:
        output.print_json(plan_document(plan))
    else:
        output.say(columns([(row.action, visible(row.path), visible(row.reason)) for row in plan]))
