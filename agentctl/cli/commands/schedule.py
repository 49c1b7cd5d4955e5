"""`agentctl schedule`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import complete, context, output, params, parse
from agentctl.cli.exit_codes import INVALID
from agentctl.errors import DefinitionInvalid, UsageError
from agentctl.render.text import visible

if TYPE_CHECKING:
    from agentctl.language.catalog import Catalog
    from agentctl.language.project.project import Project
    from agentctl.model import Definition
    from agentctl.ports import Store
    from agentctl.views.schedule import ScheduleView

Found = tuple[str, "Definition"]  # a file as shown, and what it holds

_MOST_SLOTS = 10_000  # of a schedule that are shown: a second of work
_SCHEDULED = re.compile(rb"\b(?:cron|every)\b")  # a file without these words has no schedule and need not be read


def command(
    target: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[backfill] LOOP|FILE", help="Default: every loop of the project.", autocompletion=complete.scheduled
        ),
    ] = None,
    upcoming: Annotated[str, typer.Option("--next", metavar="N", help="So many slots to come of each schedule.")] = "10",
    past: Annotated[str, typer.Option("--past", metavar="N", help="So many of its last slots, and what became of them.")] = "20",
    begin: Annotated[str | None, typer.Option("--from", metavar="7d|TIME", help="Of a backfill: the first slot.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="7d|TIME", help="Up to but without this; default: now.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say which slots a backfill would fire.")] = False,
    db: params.Db = None,
    json: params.Json = False,
) -> int:
    """Show when loops are due and what became of their last slots; with `backfill`, fire slots of the past.

    Times are those of this host's zone and of UTC, and of the schedule's own zone where that is another.
    A backfill makes a run of every slot from --from to --to that has not started one: a slot fires once, ever.
    """
    words_given = target or []
    if words_given[:1] == ["backfill"] and len(words_given) == 2:
        from agentctl.cli.backfill import backfill

        backfill(words_given[1], begin, end, plan=plan, db=db, json=json)
        return 0
    if len(words_given) > 1 or begin is not None or end is not None or plan:
        raise UsageError("`agentctl schedule [LOOP]` shows; `agentctl schedule backfill LOOP --from TIME [--to TIME]` fires")
    counts = parse.count("--next", upcoming, _MOST_SLOTS), parse.count("--past", past)
    return _show(words_given[0] if words_given else None, *counts, db=db, json=json)


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
    from agentctl.cli.definitions import loaded

    project, path = context.located(loop, db)
    stored = loaded(project, path)
    return project, [(stored.file, stored.definition)], True


def _all(project: Project) -> tuple[Project, list[Found], bool]:
    """Every definition that may have a schedule, and whether all of them could be read. Those that cannot are named."""
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
                    f"{catalog.shown(path)} has problems and is left out; `agentctl validate {catalog.shown(path)}` tells them"
                )
            else:
                found.append((catalog.shown(path), definition))
    return project, found, whole


def _read(path: Path, catalog: Catalog) -> Definition:
    from agentctl.language.load import load

    return load(path, catalog).definition
