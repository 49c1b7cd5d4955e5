"""`agentctl run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentctl.cli import complete, context, output, params
from agentctl.errors import UsageError

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import StoredDefinition


EXAMPLES = (
    "agentctl run loops/health.yaml",
    "agentctl run hello -i name=Ada --json",
)


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME", help="A definition's file, or its name in this project.", autocompletion=complete.definitions
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="K=V", help="An input, read by its declared schema; repeatable."),
    ] = None,
    input_file: Annotated[
        str | None, typer.Option("--input-file", metavar="F", help="Inputs as one JSON object in a file; `-` reads stdin.")
    ] = None,
    no_wait: params.NoWait = False,
    detach: Annotated[bool, typer.Option("--detach", help="Create the run, queued, and exit.")] = False,
    db: params.Db = None,
    json: params.Json = False,
) -> int:
    """Run a loop or a skill to its end.

    Progress goes to stderr, the run's output to stdout. Ctrl-C keeps everything: `agentctl resume` continues.
    """
    if detach and no_wait:
        raise UsageError("--detach does not drive the run; leave out --no-wait")
    from agentctl.language.inputs import read_inputs
    from agentctl.render.text import visible

    project, path = context.located(target, db)
    stored = context.loaded(project, path)
    given = read_inputs(stored.definition, inputs or [], params.input_file(input_file))
    for name in context.unset_secrets(project, stored.definition):
        output.note(f"note: the secret {visible(name)} is not set; steps that use it will fail")
    import asyncio

    if detach:
        return asyncio.run(_create(project, stored, given, db, json))
    return asyncio.run(_run(project, stored, given, db, wait=not no_wait, json=json))


async def _create(project: Project, stored: StoredDefinition, given: dict[str, Any], db: str | None, json: bool) -> int:
    with context.requesting(project) as (client, store):
        run_id, admission = await client.start(stored, given, vars=project.vars)
        row = store.run(run_id)
        assert row is not None
        standing = store.queue_position(run_id)
        served = store.serving() is not None
    if json:
        output.print_json({"run_id": run_id, "status": row.status})
    else:
        output.say(run_id)
    if admission.outcome == "duplicate":
        output.note(f"{admission.reason}; no other run was created")
        return 0
    if standing is not None and standing.reason:
        output.note(standing.reason)
    by = "agentctl serve" if served else context.Hints(run_id, project, db).drive
    output.note(f"queued; continue it with: {by}")
    return 0


async def _run(
    project: Project, stored: StoredDefinition, given: dict[str, Any], db: str | None, *, wait: bool, json: bool
) -> int:
    from agentctl.cli.foreground.drive import drive, report, working
    from agentctl.cli.foreground.interrupts import handling_interrupts

    with handling_interrupts(json=json) as interrupts, working(project) as (engine, watch):
        await context.follow_files(project, engine.store, drives=True)
        run_id, admission = await engine.start(stored, given, reserve=True, vars=project.vars)
        if admission.outcome == "duplicate":
            output.note(f"{admission.reason}; continuing with that run")
            row = engine.store.run(run_id)
            if row is not None and row.status != "succeeded":
                await engine.resume(run_id, vars=project.vars)
        hints = context.Hints(run_id, project, db)
        ended = await drive(engine, watch, run_id, wait=wait, hints=hints, interrupts=interrupts)
    return report(ended, hints, json=json)
