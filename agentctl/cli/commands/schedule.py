"""`agentctl schedule`; `agentctl schedule backfill` is in the file beside it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import complete, context, output, params
from agentctl.cli.commands.backfill import backfill
from agentctl.cli.output import INVALID
from agentctl.errors import DefinitionInvalid
from agentctl.render.text import visible

if TYPE_CHECKING:
    from agentctl.language.catalog import Catalog
    from agentctl.language.project.project import Project
    from agentctl.model import Definition
    from agentctl.ports import Store
    from agentctl.views.schedule import ScheduleView

Found = tuple[str, "Definition"]  # a file as shown, and what it holds

_MOST_SLOTS = 10_000  # shown of one schedule: a second of work
_SCHEDULED = re.compile(rb"\b(?:cron|every)\b")  # a file without these words has no schedule and need not be read


def command(
    target: Annotated[
        str | None,
        typer.Argument(metavar="LOOP|FILE", help="Default: every loop of the project.", autocompletion=complete.scheduled),
    ] = None,
    upcoming: Annotated[str, typer.Option("--next", metavar="INTEGER", help="How many coming slots of each schedule.")] = "10",
    past: Annotated[str, typer.Option("--past", metavar="INTEGER", help="How many past slots, with their outcome.")] = "20",
    db: params.Db = None,
    json: params.Json = False,
) -> int:
    """Show when loops are due and what became of their last slots.

    Times are in this host's zone and in UTC, and in the schedule's own zone if that differs.
    """
    counts = params.count("--next", upcoming, _MOST_SLOTS), params.count("--past", past)
    return _show(target, *counts, db=db, json=json)


SUBCOMMANDS = {"backfill": backfill}


def _show(loop: str | None, upcoming: int, past: int, *, db: str | None, json: bool) -> int:
    now = time.time()
    project, found, whole = _named(loop, db) if loop is not None else _all(context.project(db))
    from agentctl.render import schedule as view
    from agentctl.render.timeline import coloured, plain
    from agentctl.views.schedule import schedule_document

    with context.glance(project) as store:
        shown = list(_schedules(found, project.timezone, store, now, upcoming, past))
    if json:
        output.print_json([schedule_document(one) for one in shown])
    elif not shown:
        output.note(view.NONE if loop is None else f"{visible(loop)} has no schedule.")
    else:
        lines = view.schedule_lines(shown, now)
        output.show(lambda: plain(lines), lambda screen: coloured(lines))
    return 0 if whole else INVALID


def _schedules(
    found: list[Found], timezone: str, store: Store | None, now: float, upcoming: int, past: int
) -> Iterator[ScheduleView]:
    from agentctl.triggers.schedule import schedules
    from agentctl.triggers.slots import to_come
    from agentctl.views.schedule import ScheduleView

    paused = {} if store is None else {one.name: one.paused_at for one in store.deployments()}
    for file, definition in found:
        for schedule in schedules(definition, timezone):
            rows = [] if store is None else store.slots(schedule.name, schedule.key, limit=past)[::-1]
            settled = rows[-1].slot if rows else now
            yield ScheduleView(file, schedule, to_come(schedule, settled, now, upcoming), rows, paused.get(schedule.name))


def _named(loop: str, db: str | None) -> tuple[Project, list[Found], bool]:
    """Raises NotFound with the nearest name, DefinitionInvalid."""

    project, path = context.located(loop, db)
    stored = context.loaded(project, path)
    return project, [(stored.file, stored.definition)], True


def _all(project: Project) -> tuple[Project, list[Found], bool]:
    """Return every definition that may have a schedule, and whether all of them could be read. Print those that could not."""
    from agentctl.language.catalog import Catalog
    from agentctl.wiring import known_definition

    catalog = Catalog(project)
    found: list[Found] = []
    whole = True
    with context.glance(project) as store:
        for path in map(catalog.path, catalog.names()):
            if not _SCHEDULED.search(path.read_bytes()):
                continue
            known = None if store is None else known_definition(store, catalog, path)
            try:
                definition = known.definition if known is not None else _read(path, catalog)
            except DefinitionInvalid:
                whole = False
                output.note(
                    f"{catalog.shown(path)} has problems and is left out; `agentctl validate {catalog.shown(path)}` shows them"
                )
            else:
                found.append((catalog.shown(path), definition))
    return project, found, whole


def _read(path: Path, catalog: Catalog) -> Definition:
    from agentctl.language.load import load

    return load(path, catalog).definition
