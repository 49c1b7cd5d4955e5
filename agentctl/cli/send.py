"""`agentctl send`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentctl.cli import output, params, place
from agentctl.errors import UsageError
from agentctl.ports import FINISHED
from agentctl.render.text import visible

if TYPE_CHECKING:
    from agentctl.language.project import Project
    from agentctl.ports import RunRow, Sent

_MOST_HINTS = 5  # runs for which a command is printed


def command(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event's name, such as payment.received.")],
    data: Annotated[str | None, typer.Option("--data", "-d", metavar="JSON", help="What it carries; default: {}.")] = None,
    event_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The event's own id: a second event with it is dropped.")
    ] = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Send an event to the runs that wait for it.

    It is kept: a run that has started and comes to its wait later finds it, too.
    """
    from agentctl.core.names import event_name_flaw

    flaw = event_name_flaw(event)
    if flaw is not None:
        raise UsageError(flaw)
    if event_id == "":
        raise UsageError("--id takes a text that is not empty")
    import asyncio

    project = place.project(db)
    event_id, sent, undriven = asyncio.run(_send(project, event, _read(data), event_id))
    if json:
        output.print_json({"event_id": event_id, "duplicate": sent.duplicate, "started": [], "delivered": sent.delivered})
    for line in _said(event, visible(event_id), sent):
        output.note(line)
    for row in undriven[:_MOST_HINTS]:
        output.note(f"if nobody drives run {row.id} ({row.status}), this takes it on: {place.Hints(row.id, project, db).resume}")


def _read(data: str | None) -> Any:
    if data is None:
        return {}
    import msgspec

    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise UsageError(f"--data takes JSON, such as '{{\"order\": 7}}': {error}") from None


async def _send(project: Project, name: str, data: Any, event_id: str | None) -> tuple[str, Sent, list[RunRow]]:
    """Also the runs, or those that drive them, which may need somebody to take them on."""
    from agentctl.cli.drive import working

    with working(project) as (engine, _):
        found, sent = await engine.send(name, data, event_id)
        drivers = {row.id: row for run_id in sent.delivered[:_MOST_HINTS] for row in [place.driver(engine.store, run_id)]}
    return found, sent, [row for row in drivers.values() if row.status != "running" and row.status not in FINISHED]


def _said(name: str, event_id: str, sent: Sent) -> list[str]:
    if sent.duplicate:
        return [f"an event with the id {event_id} is known: this one was dropped"]
    if not sent.delivered:
        return [f"sent {name} as {event_id}: no run waits for it now; it is kept for those that have started"]
    runs = ", ".join(sent.delivered[:_MOST_HINTS]) + (", ..." if len(sent.delivered) > _MOST_HINTS else "")
    return [f"sent {name} as {event_id} to {len(sent.delivered)} run{'s' if len(sent.delivered) > 1 else ''}: {runs}"]
