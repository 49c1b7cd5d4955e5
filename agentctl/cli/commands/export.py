"""`agentctl export`."""

from __future__ import annotations

import time
from collections.abc import Iterable

from agentctl.cli import context, output, params, queries
from agentctl.ports import HistoryFilter


def command(
    loop: params.OfLoop = None,
    status: params.InStatus = None,
    since: params.Since = None,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Print runs as JSON lines, for other programs.

    One line a run, oldest first, each the document of `show --json`. With --json: one list of them.
    """
    query = HistoryFilter(
        name=loop,
        status=params.run_statuses(status or []),
        since=None if since is None else params.point_in_time("--since", since, time.time()),
    )
    from agentctl.views.run import show_document

    now = time.time()
    with context.reading(db) as store:
        shown = () if store is None else (queries.run_view(store, row, now) for row in store.iter_runs(query))
        lines = map(output.json_line, map(show_document, shown))
        if json:
            _print_list(lines)
        else:
            for line in lines:
                output.say(line)


def _print_list(documents: Iterable[str]) -> None:
    """As they come: there may be more of them than memory."""
    before = "["
    for text in documents:
        output.say(before + text)
        before = ","
    output.say("[]" if before == "[" else "]")
