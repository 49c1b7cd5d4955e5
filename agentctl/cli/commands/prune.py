"""`agentctl prune`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import context, output, params
from agentctl.errors import UsageError
from agentctl.language.sizes import format_size
from agentctl.render.text import size

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import Pruned

_PAUSE = 0.01  # seconds between two pieces, so that other writers get the lock


def command(
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="90d", help="Runs that ended longer ago; default: `retention` of agentctl.yaml."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be removed; change nothing.")] = False,
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Remove runs that ended long ago, and everything that belongs to them.

    A run is removed together with the runs it started, once all of them have ended. What an unfinished run may need is kept.
    """
    project = context.project(db)
    keep = _seconds(older_than, project)
    removed = _counted(project, db, keep) if dry_run else _pruned(project, db, keep)
    if json:
        import msgspec

        output.print_json({**msgspec.structs.asdict(removed), "dry_run": dry_run})
    else:
        output.note(f"{'would remove' if dry_run else 'removed'} {_summary(removed)}")


def _seconds(older_than: str | None, project: Project) -> float:
    if older_than is not None:
        return params.duration("--older-than", older_than)
    if project.retention is None:
        raise UsageError("prune needs --older-than, such as 90d, or `retention: 90d` in agentctl.yaml")
    return project.retention


def _counted(project: Project, db: str | None, keep: float) -> Pruned:
    from agentctl.ports import Pruned

    with context.reading(db) as store:
        return Pruned() if store is None else store.prunable(time.time(), keep)


def _pruned(project: Project, db: str | None, keep: float) -> Pruned:
    import asyncio

    from agentctl.ports import Pruned

    with context.reading(db) as store:
        if store is None:  # nothing to prune, and no reason to create a store
            return Pruned()

    async def prune() -> Pruned:
        with context.writing(project) as store:
            return await store.prune(time.time(), keep, lambda: asyncio.sleep(_PAUSE))

    return asyncio.run(prune())


def _summary(removed: Pruned) -> str:
    counts = {"run": removed.runs, "event": removed.events, "slot": removed.slots, "cached result": removed.results}
    counts["definition"] = removed.definitions
    parts = [size(count, name) for name, count in counts.items() if count]
    if removed.files:
        parts.append(f"{size(removed.files, 'file')} of {format_size(removed.bytes)}")
    return ", ".join(parts) or "nothing"
