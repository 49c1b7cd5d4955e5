"""Performs a step. Imported when the first `sqlite` step runs."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from agentctl.errors import ActionError
from agentctl.ports import ActionContext, Call, Outcome, Surroundings


class SqliteAction:
    async def perform(self, call: Call, around: Surroundings) -> Outcome:
        """Return the rows as a list of mappings, column -> value."""
        params = call.params
        file = around.root / params["file"]
        return Outcome(await asyncio.to_thread(_rows, file, params["query"], params.get("parameters") or []))


def make(context: ActionContext) -> SqliteAction:
    return SqliteAction()


def _rows(file: Path, query: str, parameters: list[Any]) -> list[dict[str, Any]]:
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, parameters)]
    except sqlite3.OperationalError as error:
        kind = "sqlite.busy" if "locked" in str(error) else "sqlite.failed"
        raise ActionError(kind, f"{file.name}: {error}", outcome="answered") from None
    except sqlite3.Error as error:
        raise ActionError("sqlite.failed", f"{file.name}: {error}", outcome="answered") from None
