"""`agentctl test --record RUN`: a recorded run becomes a test file."""

from __future__ import annotations

import os
from pathlib import Path

from agentctl.cli import context, queries
from agentctl.errors import NotFound, UsageError
from agentctl.language.cases import SUFFIX
from agentctl.language.project.project import TEST_SUFFIXES


def write(run: str, path: str | None, db: str | None) -> Path:
    """Write the file, by default into the project's tests/, and return where. Raises UsageError when it is there already."""
    from agentctl.language.catalog import Catalog
    from agentctl.testing.record import recorded, written

    if path is not None and not path.endswith(TEST_SUFFIXES):
        raise UsageError(f"a test file is named *{SUFFIX}, and {path} is not")
    project = context.project(db)
    with context.recorded(db, run) as (store, row):
        events = list(store.journal(row.id))
        state = queries.folded(store, events)
        stored = store.definition(row.version)
    is_between = any(step.status == "retrying" for step in state.steps.values())
    if state.status in ("queued", "running", "blocked") or is_between:
        raise UsageError(f"run {row.id} has not ended; what it will come to cannot be expected yet")
    target = Path(path) if path is not None else project.root / "tests" / f"{row.name}-{row.id[:8]}{SUFFIX}"
    if target.exists():
        raise UsageError(f"{target} is there already; name another file as PATH")
    test = row.name
    try:
        Catalog(project).path(row.name)
    except NotFound:
        file = project.root / (stored.file if stored is not None else "")
        if not file.is_file():
            raise
        test = os.path.relpath(file, target.absolute().parent)
    document, cut = recorded(state, events, test, f"as run {row.id} went")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(written(document, cut), encoding="utf-8")
    return target
