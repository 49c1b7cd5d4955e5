"""`agentctl inbox`."""

from __future__ import annotations

from agentctl.cli import context, output, params


def command(db: params.Db = None, json: params.Json = False) -> None:
    """List everything that waits for a person, oldest first: approvals, and steps of unknown outcome.

    Each entry shows what is to be signed, in full, and the commands that answer.
    """
    from agentctl.render.waits import commands, waiting_lines
    from agentctl.views.inbox import inbox_document

    project = context.project(db)
    with context.reading(db) as store:
        entries = [] if store is None else store.inbox()
    where = context.Hints("", project, db).where
    if json:
        output.print_json([inbox_document(entry, commands(entry, where)) for entry in entries])
    elif not entries:
        output.note("nothing waits for a person")
    else:
        output.say("\n\n".join("\n".join(waiting_lines(entry, where)) for entry in entries))
