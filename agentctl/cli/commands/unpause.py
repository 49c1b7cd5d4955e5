"""`agentctl unpause`."""

from __future__ import annotations

from agentctl.cli import output, params
from agentctl.cli.commands.pause import Loop, change
from agentctl.render.text import visible


def command(loop: Loop, db: params.Db = None, json: params.Json = False) -> None:
    """Unpause a loop: it is triggered again, from now on."""
    deployment = change(loop, db, pause=False, json=json)
    name, file = visible(loop), visible(deployment.file)
    if deployment.gone:
        output.note(f"{name} is not paused any more; nothing triggers it until its file {file} is back")
    elif not deployment.version:
        output.note(f"{name} is not paused any more; nothing triggers it until its file can be used: {deployment.problem}")
    else:
        output.note(f"{name} is triggered again")
