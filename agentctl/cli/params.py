"""The parameters that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from agentctl.cli import complete

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Db = Annotated[str | None, typer.Option("--db", metavar="PATH", help="The store's file, instead of the project's own.")]
_RUN = "A unique prefix of a run's id, or `last`."
Run = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete.runs)]
UnfinishedRun = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete.unfinished_runs)]
ResumableRun = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete.resumable_runs)]
