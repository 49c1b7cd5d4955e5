"""`agentctl schema`."""

from __future__ import annotations

from agentctl.cli import output, params


def command(json: params.Json = False) -> None:
    """Print the JSON Schema of a definition, for editors.

    agentctl schema > agentctl.schema.json, then `# yaml-language-server: $schema=agentctl.schema.json` on top of a file.
    """
    from agentctl.language.schema import schema

    output.print_json(schema())
