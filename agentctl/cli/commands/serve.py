"""`agentctl serve`."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli import context, output, params
from agentctl.errors import UsageError

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.service.http.address import Address


EXAMPLES = (
    "agentctl serve",
    "agentctl serve --listen 127.0.0.1:8420",
)


def command(
    workers: Annotated[str, typer.Option(metavar="INTEGER", help="Steps that run at the same time.")] = "16",
    grace: Annotated[str, typer.Option(metavar="DURATION", help="On stop: how long running steps may continue.")] = "30s",
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Listen for HTTP: events, webhooks, health and metrics.")
    ] = None,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Run as a service: start triggered runs and drive queued and waiting ones.

    On SIGTERM or Ctrl-C no step starts, running steps get the grace period, then the service exits; the next `agentctl serve`
    continues. SIGHUP reads the definitions again. One process serves a store.
    """
    from agentctl.service.log import LEVELS, begin_log

    if log_level not in LEVELS:
        raise UsageError(f"--log-level takes one of {', '.join(LEVELS)}, not {log_level!r}")
    at_once, seconds = params.count("--workers", workers), params.duration("--grace", grace)
    address = None
    if listen is not None:
        from agentctl.service.http import address as addresses

        address = addresses.parse(listen)
    begin_log(log_level, os.environ)
    import asyncio

    asyncio.run(_serve(context.project(db), at_once, seconds, address, json=json))


async def _serve(project: Project, workers: int, grace: float, address: Address | None, *, json: bool) -> None:
    from agentctl.telemetry.setup import telemetry
    from agentctl.wiring import build_service, calm_collector, deploy_now, open_store

    with ExitStack() as ending:
        store = open_store(project.store_path)
        ending.callback(store.close)
        if store.serving() is None:
            # Before others can see that we serve: an event sent from then on starts what the files define.
            with suppress(OSError):  # the deployer reports a folder that cannot be listed
                await deploy_now(project, store)
        store.serve()
        traces = telemetry(store)
        if traces is not None:
            ending.callback(traces.close)

        def ready(url: str) -> None:
            calm_collector()
            if json:
                output.print_json({"pid": os.getpid(), "store": str(store.path), "listen": url or None})
                output.flush()
            output.note(f"ready: serving {store.path} as process {os.getpid()}{f', listening at {url}' if url else ''}")

        observers = [] if traces is None else [traces]
        service = build_service(
            project, store, workers=workers, grace=grace, listen=address, on_ready=ready, observers=observers
        )
        await service.run()
    output.note("stopped")
