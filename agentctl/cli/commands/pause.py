"""`agentctl pause`, and what `agentctl unpause` shares with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import complete, context, output, params
from agentctl.errors import NotFound
from agentctl.render.text import visible

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import Deployment

Loop = Annotated[str, typer.Argument(metavar="LOOP", help="The name of a loop or a skill.", autocompletion=complete.definitions)]


def command(loop: Loop, db: params.Db = None, json: params.Json = False) -> None:
    """Pause a loop: no schedule, event, webhook or file triggers it until `agentctl unpause`.

    Its runs continue, and `agentctl run` still starts it. Slots in the meantime are recorded as skipped and not made up for.
    """
    deployment = change(loop, db, pause=True, json=json)
    if deployment.paused_at is not None:
        from agentctl.render.text import clock

        name = visible(loop)
        output.note(f"{name} is paused since {clock(deployment.paused_at)}; `agentctl unpause {name}` ends that")


def change(loop: str, db: str | None, *, pause: bool, json: bool) -> Deployment:
    """Pause or unpause a definition; with `json`, print its state. Raises NotFound."""
    import asyncio

    from agentctl.core.timestamps import rfc3339

    deployment = asyncio.run(_change(context.project(db), loop, pause=pause))
    if json:
        since = deployment.paused_at
        output.print_json({"loop": loop, "paused": since is not None, "paused_at": None if since is None else rfc3339(since)})
    return deployment


async def _change(project: Project, loop: str, *, pause: bool) -> Deployment:
    _known(project, loop)
    with context.requesting(project) as (client, store):
        await context.follow_files(project, store)
        await (client.pause if pause else client.unpause)(loop)
        return next(one for one in store.deployments() if one.name == loop)


def _known(project: Project, loop: str) -> None:
    """Raise NotFound for a name that no definition has or had: a typo creates no store."""
    from agentctl.expressions.suggestions import did_you_mean
    from agentctl.language.catalog import Catalog

    with context.glance(project) as store:
        known = set() if store is None else {one.name for one in store.deployments()}
    catalog = Catalog(project)
    if loop not in known and catalog.kind(loop) is None:
        raise NotFound(f"there is no loop or skill named {loop!r}{did_you_mean(loop, {*known, *catalog.names()})}")
