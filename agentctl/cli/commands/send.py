"""`agentctl send`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from agentctl.cli import context, output, params, queries
from agentctl.errors import UsageError
from agentctl.ports import FINISHED, Runs
from agentctl.render.text import visible

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import RunRow, SendResult

_MOST_HINTS = 5  # runs for which a command is printed


class Outcome(NamedTuple):
    """What an event did.

    `started`: the runs that it started, also as the last event of a batch.
    `undriven`: runs that it was delivered to, or their drivers, that no process may be driving.
    `served`: whether `agentctl serve` is running.
    """

    event_id: str
    sent: SendResult
    started: list[RunRow]
    undriven: list[RunRow]
    served: bool


EXAMPLES = (
    "agentctl send goods.delivered -d '{\"order\": 7}'",
    "agentctl send mail.received -d @mail.json --id mail-17",
)


def command(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event's name, such as payment.received.")],
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="JSON", help="Its data; default: {}. `@F` reads file F, `-` stdin."),
    ] = None,
    event_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The event's own id: a second event with it is dropped.")
    ] = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Send an event to the runs that wait for it, and to the loops and skills that it triggers.

    The event is kept: a run that exists already and comes to its wait later finds it, too.
    """
    from agentctl.language.event_names import event_id_flaw, event_name_flaw

    flaw = event_name_flaw(event) or (None if event_id is None else event_id_flaw(event_id))
    if flaw is not None:
        raise UsageError(flaw)
    import asyncio

    project = context.project(db)
    outcome = asyncio.run(_send(project, event, _read(data), event_id))
    if json:
        output.print_json(outcome.sent.document(outcome.event_id, [row.id for row in outcome.started]))
    for line in _said(event, outcome):
        output.note(line)
    for row in _unattended(outcome)[:_MOST_HINTS]:
        hint = context.Hints(row.id, project, db).drive
        output.note(f"no process is driving run {row.id} ({row.status}); continue it with: {hint}")


def _read(data: str | None) -> Any:
    if data is None:
        return {}
    import msgspec

    from agentctl.performing.json_values import json_problem

    try:
        value = msgspec.json.decode(_text(data))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UsageError(f"--data takes JSON, such as '{{\"order\": 7}}': {error}") from None
    flaw = json_problem(value)
    if flaw is not None:
        raise UsageError(f"--data cannot be kept: {flaw}")
    return value


def _text(data: str) -> str | bytes:
    if data != "-" and not data.startswith("@"):
        return data
    try:
        return params.json_file(data.removeprefix("@"))
    except OSError as error:
        raise UsageError(f"--data {data}: the file cannot be read: {error.strerror}") from None


async def _send(project: Project, name: str, data: Any, event_id: str | None) -> Outcome:
    import msgspec

    from agentctl.wiring import release_gathered

    with context.requesting(project) as (client, store):
        served = store.serving() is not None
        await context.follow_files(project, store)
        event_id, sent = await client.send(name, data, event_id)
        sent = msgspec.structs.replace(sent, delivered=queries.taking(store, sent.delivered, name, data, event_id))
        admissions = [*sent.started, *([] if served else await release_gathered(project, store))]
        started = [found.run_id for found in admissions if found.outcome == "created" and found.run_id]
        rows = [row for row in map(store.run, started) if row is not None and _is_of(row, event_id)]
        return Outcome(event_id, sent, rows, _undriven(store, sent), served)


def _is_of(row: RunRow, event_id: str) -> bool:
    """Return whether the event is among those that started the run; older batches may have been released with it."""
    data = row.event["data"]
    gathered = data.get("events") if isinstance(data, dict) else None
    events = [row.event, *(gathered if isinstance(gathered, list) else ())]
    return any(isinstance(event, dict) and event.get("id") == event_id for event in events)


def _undriven(store: Runs, sent: SendResult) -> list[RunRow]:
    drivers = {row.id: row for run_id in sent.delivered[:_MOST_HINTS] for row in [queries.driver(store, run_id)]}
    return [row for row in drivers.values() if row.status != "running" and row.status not in FINISHED]


def _unattended(outcome: Outcome) -> list[RunRow]:
    return [] if outcome.served else [*outcome.undriven, *outcome.started]


def _said(name: str, outcome: Outcome) -> list[str]:
    sent, event_id = outcome.sent, visible(outcome.event_id)
    if sent.duplicate:
        return [f"an event with the id {event_id} is known; this one was dropped"]
    lines = [f"sent {name} as {event_id}{_delivered(sent)}"]
    lines += [f"started run {row.id} of {row.kind} {row.name}, queued" for row in outcome.started]
    lines += [visible(found.reason) for found in sent.started if found.outcome != "created"]
    filled = {row.name for row in outcome.started}
    lines += [f"collected for {loop} with others until they start a run" for loop in sent.gathered if loop not in filled]
    if len(lines) == 1 and not sent.delivered:
        lines[0] += ": no run waits for it now, and it starts none; it is kept for existing runs"
    return lines


def _delivered(sent: SendResult) -> str:
    if not sent.delivered:
        return ""
    runs = ", ".join(sent.delivered[:_MOST_HINTS]) + (", ..." if len(sent.delivered) > _MOST_HINTS else "")
    return f" to {len(sent.delivered)} run{'s' if len(sent.delivered) > 1 else ''}: {runs}"
