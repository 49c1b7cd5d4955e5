"""`agentctl show`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentctl.cli import context, output, params
from agentctl.cli.foreground.unresolved import unsettled_lines

if TYPE_CHECKING:
    from agentctl.core.events import AnyEvent
    from agentctl.core.state import RunState
    from agentctl.ports import RunRow, Store
    from agentctl.render.journal import StepView


def command(
    run: params.Run,
    inputs: Annotated[bool, typer.Option("--inputs", help="Also print what each step was given, as evaluated.")] = False,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Show one run: its steps over time, errors and output.

    Secrets stand in the inputs by their names; their values are not recorded.
    """
    with context.recorded(db, run) as (store, row):
        if json:
            output.print_json(document(store, row))
            return
        events = list(store.journal(row.id))
        steps = _steps(store, row, events, context.folded(store, events))
        said = store.feedback([row.id]).get(row.id)
        hints = context.Hints(row.id, context.project(db), db)
        unsettled = unsettled_lines(store, row, hints.where)
        standing = store.queue_position(row.id)
        now = time.time()
        since = _stalled_since(store, row, now)
    from agentctl.render import timeline
    from agentctl.render.history import stalled_line

    output.show(
        lambda: timeline.plain(timeline.show_lines(row, steps, now, inputs=inputs)),
        lambda screen: timeline.coloured(timeline.show_lines(row, steps, now, width=screen.width, inputs=inputs), fold=inputs),
    )
    if standing is not None and standing.reason:
        output.say(f"\n{standing.reason}")
    if since is not None:
        output.say(f"\n{stalled_line(row, since, now, hints.resume)}")
    if unsettled:
        output.say("\n" + "\n".join(unsettled))
    if said is not None:
        from agentctl.render.text import visible

        output.say(f"feedback {said.verdict}" + (f": {visible(said.note)}" if said.note else ""))


def document(store: Store, row: RunRow) -> Any:
    """What `show --json` prints of a run."""
    from agentctl.render.documents import show_document
    from agentctl.render.journal import items_not_run

    events = list(store.journal(row.id))
    state = context.folded(store, events)
    steps = [step for step in _steps(store, row, events, state) if not step.block] + items_not_run(state)
    feedback, position = store.feedback([row.id]).get(row.id), store.queue_position(row.id)
    return show_document(row, steps, events, feedback, position, _stalled_since(store, row, time.time()))


def _stalled_since(store: Store, row: RunRow, now: float) -> float | None:
    from agentctl.engine.stalls import stalls

    return stalls(store, [row], now).get(row.id)


def _steps(store: Store, row: RunRow, events: list[AnyEvent], state: RunState) -> list[StepView]:
    from agentctl.render.journal import complete, view

    steps = complete(view(row.id, state.plan.definition, events), state)
    awaited = store.awaited_results(row.id)
    for step in steps:
        step.waits_for = awaited.get(step.path)
    return steps
