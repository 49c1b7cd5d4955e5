"""Where a command works: the project around a folder, its store, the definition that was asked for."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from agentctl.errors import NotFound, StoreCorrupt, StoreError, StoreMissing

if TYPE_CHECKING:
    from agentctl.core.events import AnyEvent
    from agentctl.core.state import RunState
    from agentctl.language.project import Project
    from agentctl.ports import RunRow, Store


def project(db: str | None, start: Path | None = None) -> Project:
    """The project around `start` (the current folder), with `--db` applied."""
    from agentctl.language.project import find

    return find(start or Path.cwd(), db=db)


def located(target: str, db: str | None) -> tuple[Project, Path]:
    """FILE|NAME -> the project and the definition's file. Raises NotFound with the nearest name."""
    path = Path(target)
    if path.is_file():
        return project(db, path.resolve().parent), path
    if path.suffix in (".yaml", ".yml") or "/" in target:
        raise NotFound(f"{target} is a folder, not a definition" if path.is_dir() else f"no such file: {target}")
    from agentctl.language.catalog import Catalog

    here = project(db)
    return here, Catalog(here).path(target)


@contextmanager
def reading(db: str | None) -> Iterator[Store | None]:
    """The store, opened for reading; None when no run has made one yet."""
    path = project(db).store_path
    if not path.exists():
        yield None
        return
    from agentctl.wiring import open_store

    try:
        store = open_store(path, read_only=True)
    except StoreMissing:
        yield None
        return
    try:
        yield store
    finally:
        store.close()


@contextmanager
def glance(used: Project) -> Iterator[Store | None]:
    """The same for a command that goes on to write: a store that cannot be read as it is counts as none yet."""
    from agentctl.wiring import open_store

    store = None
    if used.store_path.exists():
        with suppress(StoreError):  # an older one is migrated, and anything worse is told, when it is opened for writing
            store = open_store(used.store_path, read_only=True)
    try:
        yield store
    finally:
        if store is not None:
            store.close()


def found(store: Store | None, run: str) -> RunRow:
    """The run that a prefix or `last` names. Raises NotFound, AmbiguousPrefix."""
    if store is None:
        raise NotFound(f"no such run: {run} (there is no store here yet; `agentctl run` makes one)")
    return store.find(run)


def folded(store: Store, events: Iterable[AnyEvent]) -> RunState:
    """A journal folded, with the definitions that the run was and is pinned to."""
    from agentctl.core.graph import Plan
    from agentctl.core.interpreter import fold

    def plan_of(version: str) -> Plan:
        stored = store.definition(version)
        if stored is None:
            raise StoreCorrupt(f"the store lacks the definition {version[:12]}, which the run is pinned to")
        return Plan(stored.definition)

    return fold(events, plan_of)


class Hints:
    """The commands that go on from here. They name the store when the current folder does not lead to it."""

    def __init__(self, run_id: str, used: Project, db: str | None) -> None:
        here = project(None).store_path
        where = "" if db is None and used.store_path == here else f" --db {shlex.quote(str(used.store_path))}"
        self.show = f"agentctl show {run_id}{where}"
        self.resume = f"agentctl resume {run_id}{where}"
