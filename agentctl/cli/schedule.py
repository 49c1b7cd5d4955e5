"""`agentctl schedule`."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import complete, output, params, place, words
from agentctl.cli.exit_codes import INVALID
from agentctl.errors import DefinitionInvalid
from agentctl.render.text import visible

if TYPE_CHECKING:
    from agentctl.language.catalog import Catalog
    from agentctl.language.project import Project
    from agentctl.model import Definition

Found = tuple[str, "Definition"]  # a file as shown, and what it holds

_SCHEDULED = re.compile(rb"\b(?:cron|every)\b")  # a file without these words has no schedule and need not be read


def command(
    loop: Annotated[
        str | None,
        typer.Argument(
            metavar="LOOP|FILE", help="Only this one; default: every loop of the project.", autocompletion=complete.definitions
        ),
    ] = None,
    upcoming: Annotated[str, typer.Option("--next", metavar="N", help="So many slots of each schedule.")] = "10",
    db: params.Db = None,
    json: params.Json = False,
) -> int:
    """Show when loops are due: each schedule in words, and its next slots.

    Times are those of this host's zone and of UTC, and of the schedule's own zone where that is another.
    """
    count = words.count("--next", upcoming)
    now = time.time()
    found, whole = ([_named(loop, db)], True) if loop is not None else _all(place.project(db))
    from agentctl.render import schedule as view
    from agentctl.render.timeline import coloured, plain
    from agentctl.triggers.schedule import schedules
    from agentctl.triggers.slots import next_slots

    shown = [
        view.Shown(file, schedule, next_slots(schedule, now, count))
        for file, definition in found
        for schedule in schedules(definition)
    ]
    if json:
        output.print_json([view.schedule_document(one) for one in shown])
    elif not shown:
        output.note(view.NONE if loop is None else f"{visible(loop)} has no schedule.")
    else:
        lines = view.schedule_lines(shown, now)
        output.show(lambda: plain(lines), lambda screen: coloured(lines))
    return 0 if whole else INVALID


def _named(loop: str, db: str | None) -> Found:
    """Raises NotFound with the nearest name, DefinitionInvalid."""
    from agentctl.cli.definitions import loaded

    stored = loaded(*place.located(loop, db))
    return stored.file, stored.definition


def _all(project: Project) -> tuple[list[Found], bool]:
    """Every definition that may have a schedule, and whether all of them could be read. Those that cannot are named."""
    from agentctl.language.catalog import Catalog
    from agentctl.wiring import known_definition

    catalog = Catalog(project)
    found: list[Found] = []
    whole = True
    with place.glance(project) as store:
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
    return found, whole


def _read(path: Path, catalog: Catalog) -> Definition:
    from agentctl.language.load import load

    return load(path, catalog).definition
