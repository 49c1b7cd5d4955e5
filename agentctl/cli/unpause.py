"""`agentctl unpause`."""

from __future__ import annotations

from agentctl.cli import output, params
from agentctl.cli.pause import Loop, change
from agentctl.render.text import visible


def command(loop: Loop, db: params.Db = None, json: params.Json = False) -> None:
    """Have a paused loop triggered again, from now on."""
    change(loop, db, pause=False, json=json)
    output.note(f"{visible(loop)} is triggered again")
