"""What the shell offers at TAB: names of definitions, ids of runs, steps, statuses.

A callback only reads, and returns nothing when it cannot: an error message in the middle of a command line does not help.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, get_args

from agentctl.cli import context

Offered = list[tuple[str, str]]  # (word, what it is), those that begin with what was typed

_RUNS = 30  # as many as are worth a look


def _quiet(offer: Callable[[Any, str], Offered]) -> Callable[[Any, str], Offered]:
    @wraps(offer)
    def offered(ctx: Any, incomplete: str) -> Offered:
        try:
            return [(word, text) for word, text in offer(ctx, incomplete) if word.startswith(incomplete)]
        except Exception:  # other commands report what is wrong with the project or its store
            return []

    return offered


@_quiet
def definitions(ctx: Any, incomplete: str) -> Offered:
    """Names of loops and skills. (Files are the shell's own business: it offers them when we have nothing.)"""
    from agentctl.language.catalog import Catalog

    catalog = Catalog(context.project(_db(ctx)))
    return [(name, str(catalog.kind(name))) for name in catalog.names()]


@_quiet
def scheduled(ctx: Any, incomplete: str) -> Offered:
    """Definitions, and the sub-command of `schedule`."""
    return [("backfill", "create runs for past slots"), *definitions(ctx, incomplete)]


@_quiet
def remembering(ctx: Any, incomplete: str) -> Offered:
    """Definitions, and the sub-commands of `state`."""
    actions = [("get", "print one value"), ("set", "set one value"), ("unset", "remove one value")]
    return [*actions, *definitions(ctx, incomplete)]


@_quiet
def runs(ctx: Any, incomplete: str) -> Offered:
    return _runs(ctx, incomplete)


@_quiet
def unfinished_runs(ctx: Any, incomplete: str) -> Offered:
    """Runs that can be cancelled."""
    from agentctl.ports import UNFINISHED

    return _runs(ctx, incomplete, UNFINISHED)


@_quiet
def resumable_runs(ctx: Any, incomplete: str) -> Offered:
    return _runs(ctx, incomplete, ("queued", "waiting", "blocked", "failed", "cancelled", "interrupted"))


@_quiet
def graphs(ctx: Any, incomplete: str) -> Offered:
    """Definitions and runs."""
    return [*definitions(ctx, incomplete), *runs(ctx, incomplete)]


@_quiet
def steps(ctx: Any, incomplete: str) -> Offered:
    """The steps of the run that is on the command line."""
    from agentctl.views.journal import view

    # An option without a value yet stops the parser before it has named the arguments.
    run = ctx.params.get("run") or ctx.args[0]
    with context.reading(_db(ctx)) as store:
        if store is None:
            return []
        row = store.find(run)
        stored = store.definition(row.version)
        seen = view(row.id, None if stored is None else stored.definition, store.journal(row.id))
    return [(step.path, f"{step.action} {step.status}") for step in seen.steps.values() if not step.block]


@_quiet
def doubts(ctx: Any, incomplete: str) -> Offered:
    """The steps of that run whose outcome is in doubt."""
    return [(path, text) for path, text in steps(ctx, incomplete) if text.endswith(" unknown")]


@_quiet
def questions(ctx: Any, incomplete: str) -> Offered:
    """The steps of that run which ask a person for approval."""
    return [(path, text) for path, text in steps(ctx, incomplete) if text == "approve waiting"]


@_quiet
def verdicts(ctx: Any, incomplete: str) -> Offered:
    from agentctl.views.inbox import VERDICTS

    return list(VERDICTS.items())


@_quiet
def statuses(ctx: Any, incomplete: str) -> Offered:
    from agentctl.ports import RunStatus

    return [(status, "") for status in get_args(RunStatus)]


@_quiet
def triggers(ctx: Any, incomplete: str) -> Offered:
    return [(kind, "") for kind in ("manual", "cron", "every", "event", "webhook", "file", "skill", "backfill")]


@_quiet
def formats(ctx: Any, incomplete: str) -> Offered:
    from agentctl.render.diagrams import FORMATS

    return [(name, "") for name in FORMATS]


def _runs(ctx: Any, incomplete: str, wanted: tuple[Any, ...] = ()) -> Offered:
    """The newest runs, and `last`. With a beginning typed, the runs that it may mean, however old they are."""
    from agentctl.ports import HistoryFilter

    with context.reading(_db(ctx)) as store:
        if store is None:
            return []
        rows = store.history(HistoryFilter(status=wanted, limit=_RUNS if not incomplete else 1000))
    found = [(row.id, f"{row.name} {row.status}") for row in rows]
    return [("last", "the newest run that a person started"), *found] if found else []


def _db(ctx: Any) -> str | None:
    given = ctx.params.get("db")
    return given if isinstance(given, str) else None
