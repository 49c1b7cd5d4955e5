"""`agentctl schedule backfill`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import complete, context, output, params
from agentctl.errors import UsageError
from agentctl.render.text import size, visible

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import Schedules, Slot, SlotRow, StoredDefinition
    from agentctl.triggers.schedule import Schedule

MOST = 1000  # slots in one go: weeks of a loop that runs every second must not create a million runs by mistake
_MOMENT = 0.001  # seconds: slots lie at whole milliseconds
_AT_ONCE = 100  # slots in one commit

Slots = list[tuple["Schedule", float]]


def backfill(
    loop: Annotated[
        str, typer.Argument(metavar="LOOP|FILE", help="A loop with a schedule.", autocompletion=complete.definitions)
    ],
    begin: Annotated[str | None, typer.Option("--from", metavar="7d|TIME", help="The first slot.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="7d|TIME", help="The end, exclusive; default: now.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Print the slots and create no run.")] = False,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Create runs for past slots that have not started one. A slot starts a run once, ever."""
    now = time.time()
    first, until = _range(begin, end, now)
    from agentctl.language.inputs import check_inputs

    project, path = context.located(loop, db)
    stored = context.loaded(project, path)
    check_inputs(stored.definition, {})
    slots = _slots_between(stored, project.timezone, first, until)
    if not slots:
        raise UsageError(f"{visible(loop)} has no slot in that time; `agentctl schedule {visible(loop)}` shows when it has")
    with context.glance(project) as store:
        before = _rows(store, slots)
    if plan:
        _report(slots, before, json=json)
        return
    import asyncio

    after, served = asyncio.run(_fire(project, stored, slots, before, now))
    _report(slots, after, json=json)
    had_fired = _fired(before)
    fired = _fired(after) - had_fired
    known = f"; {size(had_fired, 'slot')} had started one before" if had_fired else ""
    output.note(f"queued {size(fired, 'run')} of {visible(loop)}{known}")
    if fired and not served:
        output.note("no service is running; `agentctl serve` starts them")


def _range(begin: str | None, end: str | None, now: float) -> tuple[float, float]:
    if begin is None:
        raise UsageError("a backfill takes --from TIME, its first slot; --to TIME is where it ends, by default now")
    first = params.point_in_time("--from", begin, now)
    until = now if end is None else params.point_in_time("--to", end, now)
    if until > now:
        raise UsageError("--to lies in the future: those slots fire by themselves")
    if first >= until:
        raise UsageError("--from has to be earlier than --to")
    return first, until


def _slots_between(stored: StoredDefinition, timezone: str, first: float, until: float) -> Slots:
    """Return the slots in [first, until) of all its schedules."""
    from agentctl.triggers.schedule import schedules
    from agentctl.triggers.slots import slots

    found: Slots = []
    for schedule in schedules(stored.definition, timezone):
        coming = slots(schedule, first - _MOMENT, until - _MOMENT)
        found += [(schedule, slot) for slot in islice(coming, MOST + 1)]
    if len(found) > MOST:
        raise UsageError(f"more than {MOST} slots lie in that time; at most so many are filled in one go: narrow --from and --to")
    return found


def _rows(store: Schedules | None, slots: Slots) -> list[SlotRow | None]:
    """Return what is recorded of each slot."""
    if store is None:
        return [None] * len(slots)
    known: dict[tuple[str, float], SlotRow] = {}
    for schedule in {schedule.key: schedule for schedule, _ in slots}.values():
        times = [slot for other, slot in slots if other.key == schedule.key]
        rows = store.slots_between(schedule.name, schedule.key, times[0], times[-1] + _MOMENT)
        known.update(((row.schedule, row.slot), row) for row in rows)
    return [known.get((schedule.key, slot)) for schedule, slot in slots]


def _fired(rows: Sequence[SlotRow | None]) -> int:
    return sum(row is not None and row.run_id is not None for row in rows)


async def _fire(
    project: Project, stored: StoredDefinition, slots: Slots, before: Sequence[SlotRow | None], now: float
) -> tuple[list[SlotRow | None], bool]:
    """Fill the slots. Returns their rows afterwards, and whether `agentctl serve` is running."""
    with context.writing(project) as store:
        await store.register(stored)
        filled = [_filled(project, stored, *slot, row, now) for slot, row in zip(slots, before, strict=True)]
        for first in range(0, len(filled), _AT_ONCE):
            await store.backfill(filled[first : first + _AT_ONCE], now)
        return _rows(store, slots), store.serving() is not None


def _filled(project: Project, stored: StoredDefinition, schedule: Schedule, slot: float, row: SlotRow | None, now: float) -> Slot:
    """Return the slot with its run, which queues behind the others whatever `overlap` says: all of them are wanted."""
    from agentctl.triggers.policies import Verdict
    from agentctl.triggers.scheduled import slot_of

    was = "" if row is None else f"; it was {row.outcome}" + (f": {row.reason}" if row.reason else "")
    verdict = Verdict(slot, "fired", f"filled by hand{was}")
    return slot_of(stored, schedule, verdict, at=now, vars=project.vars, trigger="backfill", overlap="queue")


def _report(slots: Slots, rows: Sequence[SlotRow | None], *, json: bool) -> None:
    from agentctl.render import schedule as view
    from agentctl.views.schedule import backfill_document

    shown = [(schedule, slot, row) for (schedule, slot), row in zip(slots, rows, strict=True)]
    if json:
        output.print_json(backfill_document(shown))
    else:
        output.say(view.format_backfill(shown))
