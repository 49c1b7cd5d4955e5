"""`agentctl show`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from agentctl.cli import context, output, params, queries

EXAMPLES = (
    "agentctl show last",
    "agentctl show last --transcript find",
)


def command(
    run: params.Run,
    inputs: Annotated[bool, typer.Option("--inputs", help="Also print the evaluated parameters of each step.")] = False,
    transcript: Annotated[
        str | None, typer.Option("--transcript", metavar="STEP", help="Print the conversation of an agent instead.")
    ] = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Show one run: its steps over time, errors and output.

    Inputs show secrets by name; their values are never recorded.
    """
    if transcript is not None:
        _show_transcript(run, transcript, db, json=json)
        return
    now = time.time()
    with context.recorded(db, run) as (store, row):
        shown = queries.run_view(store, row, now)
        unresolved = None if json else queries.unresolved(store, row)
    if unresolved is None:
        from agentctl.views.run import show_document

        output.print_json(show_document(shown))
        return
    hints = context.Hints(row.id, context.project(db), db)
    from agentctl.render import timeline
    from agentctl.render.waits import unresolved_lines

    output.show(
        lambda: timeline.plain(timeline.show_lines(shown, now, inputs=inputs)),
        lambda screen: timeline.coloured(timeline.show_lines(shown, now, width=screen.width, inputs=inputs), fold=inputs),
    )
    for lines in (timeline.remark_lines(shown, now, hints.resume), unresolved_lines(unresolved, hints.where)):
        if lines:
            output.say("\n" + "\n".join(lines))


def _show_transcript(run: str, step: str, db: str | None, *, json: bool) -> None:
    from agentctl.views.transcript import agent_step, transcript_document

    with context.recorded(db, run) as (store, row):
        rows = transcript_document(agent_step(queries.folded(store, store.journal(row.id)), step))
    if json:
        output.print_json(rows)
        return
    from agentctl.render.transcript import transcript_text

    output.say(transcript_text(rows))
