"""The parameters that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from agentctl.cli import complete

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Db = Annotated[str | None, typer.Option("--db", metavar="PATH", help="The store's file, instead of the project's own.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Leave as soon as only waiting is left (exit code 3).")]
_RUN = "A unique prefix of a run's id, or `last`."
Run = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete.runs)]
UnfinishedRun = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete.unfinished_runs)]
ResumableRun = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete.resumable_runs)]

# Which runs are meant, for commands that read several.
OfLoop = Annotated[
    str | None,
    typer.Option("--loop", metavar="NAME", help="Only runs of this loop or skill.", autocompletion=complete.definitions),
]
InStatus = Annotated[
    list[str] | None,
    typer.Option("--status", metavar="STATUS", help="Only runs in this status; repeatable.", autocompletion=complete.statuses),
]
Since = Annotated[str | None, typer.Option("--since", metavar="7d|TIME", help="Only runs created since then.")]
