"""`agentctl backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentctl.cli import context, output, params
from agentctl.errors import UsageError
from agentctl.language.sizes import format_size
from agentctl.render.text import size


def command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file, such as agentctl.tar; .gz or .tgz: compressed.")],
    db: params.Db = None,
    json: params.Json = False,
) -> None:
    """Copy the store, while it is in use, to one file.

    The tar file holds the database, which is checked first, large outputs and logs. To restore it, unpack it into an empty
    folder.
    """
    from agentctl.language.project.project import demand_text
    from agentctl.wiring import back_up

    target = Path(file)
    demand_text(target)
    if not file:
        raise UsageError("backup takes the name of a new file, such as agentctl.tar")
    made = back_up(context.project(db).store_path, target)
    if json:
        output.print_json({"file": str(made.file), "bytes": made.bytes, "runs": made.runs, "files": made.files})
    else:
        output.note(f"{file}: {size(made.runs, 'run')}, {size(made.files, 'file')}, {format_size(made.bytes)}")
