"""`agentctl show`."""

from __future__ import annotations

import time

from agentctl.cli import output, params, place


def command(run: params.Run, db: params.Db = None, json: params.Json = False) -> None:
    """Show one run: its steps over time, errors and output."""
    with place.reading(db) as store:
        row = place.found(store, run)
        assert store is not None
        events = list(store.journal(row.id))
        state = place.folded(store, events)
    from agentctl.render import documents, timeline
    from agentctl.render.journal import complete, view

    steps = complete(view(row.id, state.plan.definition, events), state)
    if json:
        output.print_json(documents.show_document(row, [step for step in steps if not step.block], events))
        return
    now = time.time()
    output.show(
        lambda: timeline.plain(timeline.show_lines(row, steps, now)),
        lambda screen: timeline.coloured(timeline.show_lines(row, steps, now, width=screen.width)),
    )
