"""`agentctl cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import context, output, params, queries
from agentctl.errors import UsageError
from agentctl.ports import FINISHED

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import RunRow


def command(
    run: params.UnfinishedRun,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept in the run's journal.")] = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Ask a run to stop; its undo steps and handlers run.

    The request is written to the store. The process that drives the run carries it out; if there is none, `agentctl serve` or
    `agentctl resume RUN` will.
    """
    from agentctl.views.runs import status_document

    project = context.project(db)
    with context.reading(db) as store:
        row = context.found(store, run)
    if row.status in FINISHED:
        raise UsageError(f"run {row.id} has ended ({row.status}): there is nothing to cancel")
    import asyncio

    row, served = asyncio.run(_ask(project, row.id, reason))
    if json:
        output.print_json(status_document(row))
    if row.status == "running":
        output.note(f"asked run {row.id} to stop")
    elif row.status in FINISHED:
        output.note(f"run {row.id} has ended ({row.status})")
    elif served:
        output.note(f"asked run {row.id} to stop; agentctl serve is driving it")
    else:
        hint = context.Hints(row.id, project, db).drive
        output.note(f"the request is kept; no process is driving the run ({row.status}); carry it out with: {hint}")


async def _ask(project: Project, run_id: str, reason: str | None) -> tuple[RunRow, bool]:
    """The run, and whether `serve` lives."""
    with context.requesting(project) as (client, store):
        await client.cancel(run_id, reason)
        return queries.row_of(store, run_id), store.serving() is not None
