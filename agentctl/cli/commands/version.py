"""`agentctl version`."""

from __future__ import annotations

from agentctl import __version__
from agentctl.cli import output, params


def command(json: params.Json = False) -> None:
    """Print the version."""
    if json:
        output.print_json({"version": __version__})
    else:
        output.say(f"agentctl {__version__}")
