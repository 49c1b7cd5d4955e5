"""`agentctl show`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from agentctl.cli import output, params, place
from agentctl.cli.unsettled import unsettled_lines


def command(
    run: params.Run,
    inputs: Annotated[bool, typer.Option("--inputs", help="Also print what each step was given, as evaluated.")] = False,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Show one run: its steps over time, errors and output.

    Secrets stand in the inputs by their names; their values are not recorded.
    """
    with place.recorded(db, run) as (store, row):
        events = list(store.journal(row.id))
        state = place.folded(store, events)
        said = store.feedback([row.id]).get(row.id)
        awaited = store.awaited_results(row.id)
        unsettled = [] if json else unsettled_lines(store, row, place.Hints(row.id, place.project(db), db).where)
    from agentctl.render import documents, timeline
    from agentctl.render.journal import complete, view

    steps = complete(view(row.id, state.plan.definition, events), state)
    for step in steps:
        step.waits_for = awaited.get(step.path)
    if json:
        output.print_json(documents.show_document(row, [step for step in steps if not step.block], events, said))
        return
    now = time.time()
    output.show(
        lambda: timeline.plain(timeline.show_lines(row, steps, now, inputs=inputs)),
        lambda screen: timeline.coloured(timeline.show_lines(row, steps, now, width=screen.width, inputs=inputs), fold=inputs),
    )
    if unsettled:
        output.say("\n" + "\n".join(unsettled))
    if said is not None:
        from agentctl.render.text import visible

        output.say(f"feedback {said.verdict}" + (f": {visible(said.note)}" if said.note else ""))
