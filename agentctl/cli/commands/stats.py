"""`agentctl stats`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from agentctl.cli import complete, context, output, params
from agentctl.errors import NotFound
from agentctl.expressions.suggestions import did_you_mean
from agentctl.ports import Statistics


def command(
    loop: Annotated[
        str | None,
        typer.Argument(metavar="LOOP", help="Only this loop or skill.", autocompletion=complete.definitions),
    ] = None,
    since: params.Since = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Count runs: results, durations, costs, and what checkpointing saved.

    A loop's cost includes that of the skills it waited for, which also have lines of their own. `saved` is what recorded llm
    steps would have cost again if each interrupted or resumed run had started over.
    """
    start = 0.0 if since is None else params.point_in_time("--since", since, time.time())
    with context.reading(db) as store:
        found = [] if store is None else store.statistics(start, loop)
    if loop is not None and not found:
        _refuse_unknown(loop, db)
    from agentctl.render import statistics
    from agentctl.views.statistics import statistics_document

    if json:
        output.print_json([statistics_document(one) for one in found])
    elif found:
        output.say(statistics.format_statistics(found))
    else:
        output.note("no runs" + (" since then" if since is not None else " yet"))


def _refuse_unknown(loop: str, db: str | None) -> None:
    """Raise NotFound for a name that no definition and no run has."""
    from agentctl.language.catalog import Catalog

    catalog = Catalog(context.project(db))
    if catalog.kind(loop) is not None:
        return
    known: list[Statistics] = []
    with context.reading(db) as store:
        if store is not None:
            known = store.statistics(name=loop)
    if not known:
        raise NotFound(f"there is no loop or skill named {loop!r}{did_you_mean(loop, catalog.names())}")
