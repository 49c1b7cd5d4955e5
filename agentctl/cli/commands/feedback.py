"""`agentctl feedback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from agentctl.cli import context, output, params
from agentctl.cli.approvals import login_name, refuse_inside_a_step
from agentctl.errors import UsageError
from agentctl.expressions.suggestions import did_you_mean

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import Verdict


def command(
    run: params.Run,
    verdict: Annotated[str, typer.Argument(metavar="good|bad|false-positive", help="What the run's result was worth.")],
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="Why.")] = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Record what the result of a run was worth.

    It is kept with the run, for people (`agentctl show`) and for loops that review others (the `history` action). Your second
    verdict on the same run replaces your first.
    """
    from agentctl.ports import Verdict
    from agentctl.views.runs import status_document

    refuse_inside_a_step("a verdict is a person's")
    known = get_args(Verdict)
    if verdict not in known:
        raise UsageError(f"feedback is one of {', '.join(known)}, not {verdict!r}{did_you_mean(verdict, known)}")
    project = context.project(db)
    with context.reading(db) as store:
        row = context.found(store, run)
    import asyncio

    asyncio.run(_give(project, row.id, cast("Verdict", verdict), note))
    if json:
        output.print_json(status_document(row))
    output.note(f"recorded for run {row.id} of {row.name}: {verdict}")


async def _give(project: Project, run_id: str, verdict: Verdict, note: str | None) -> None:
    with context.writing(project) as store:
        await store.give_feedback(run_id, verdict, note, by=login_name())
