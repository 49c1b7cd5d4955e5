"""Where a command works: the project around a folder, its store, the requested definition or run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentctl.cli import output
from agentctl.errors import DefinitionInvalid, NotFound, StoreError, StoreMissing, StoreNeedsMigration

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.model import Definition
    from agentctl.ports import Client, RunRow, Runs, Store, StoredDefinition


class InvalidFile(DefinitionInvalid):
    """`path`: the file, from the current folder. Its problems name it as the project does."""

    def __init__(self, problems: list[Any], path: Path) -> None:
        super().__init__(problems)
        self.path = path


def project(db: str | None, start: Path | None = None) -> Project:
    """Find the project around `start` (the current folder), with `--db` applied.

    Raises FileNotFoundError when the current folder is gone: every command says so before it changes anything.
    """
    from agentctl.language.project.project import find

    here = Path.cwd()
    return find(start or here, db=db)


def located(target: str, db: str | None) -> tuple[Project, Path]:
    """Find the project and the file of a definition given as FILE|NAME. Raises NotFound with the nearest name."""
    path = Path(target)
    if path.is_file():
        return project(db, path.resolve().parent), path
    if path.suffix in (".yaml", ".yml") or "/" in target:
        raise NotFound(f"{target} is a folder, not a definition" if path.is_dir() else f"no such file: {target}")
    from agentctl.language.catalog import Catalog

    here = project(db)
    return here, Catalog(here).path(target)


def loaded(used: Project, path: Path) -> StoredDefinition:
    """Load and check a definition; print its warnings. Raises DefinitionInvalid.

    The store is only read, for the compiled form: a file with mistakes leaves no store behind.
    """
    from agentctl.language.catalog import Catalog
    from agentctl.wiring import load_definition

    try:
        with glance(used) as store:
            stored, warnings = load_definition(store, Catalog(used), path)
    except DefinitionInvalid as error:
        raise InvalidFile(error.problems, path) from None
    if warnings:
        output.note(output.problem_blocks(warnings, {warning.file: path for warning in warnings}))
    return stored


def definition_files(path: Path) -> list[Path]:
    """Return the files that a PATH stands for. Raises NotFound when there are none."""
    from agentctl.language.project.project import FOLDERS

    if not path.exists():
        raise NotFound(f"no such file or folder: {path}")
    if not path.is_dir():
        return [path]
    roots = [path / name for name in FOLDERS if (path / name).is_dir()] or [path]
    files = sorted(file for root in roots for file in root.rglob("*") if _is_definition(file, root))
    if not files:
        raise NotFound(f"no YAML files below {path}")
    return files


def _is_definition(file: Path, root: Path) -> bool:
    from agentctl.language.project.project import FILES, SUFFIXES

    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return not hidden and file.suffix in SUFFIXES and file.name not in FILES and file.is_file()


def set_secrets(used: Project) -> frozenset[str] | None:
    """Return the names of the secrets that are set; None when a file with secrets cannot be read, which `doctor` reports."""
    from agentctl.wiring import set_secrets

    try:
        return set_secrets(used)
    except OSError:
        return None


def unset_secrets(used: Project, definition: Definition) -> list[str]:
    """Return the secrets that a definition needs and that are not set."""
    from agentctl.expressions.references import needed_secrets

    needed = needed_secrets(definition)
    known = set_secrets(used) if needed else None
    return [] if known is None else sorted(needed - known)


@contextmanager
def reading(db: str | None) -> Iterator[Store | None]:
    """Open the store for reading; None when no run has created one yet."""
    path = project(db).store_path
    if not _exists(path):
        yield None
        return
    from agentctl.wiring import open_store

    try:
        store = open_store(path, read_only=True)
    except StoreMissing:
        yield None
        return
    except StoreNeedsMigration:  # the first command after an update may be one that only reads
        store = open_store(path)
    try:
        yield store
    finally:
        store.close()


def _exists(path: Path) -> bool:
    """Return whether the file exists. A file that may not be accessed exists: the store reports what is wrong with it."""
    try:
        return path.exists()
    except PermissionError:
        return True


@contextmanager
def glance(used: Project) -> Iterator[Store | None]:
    """Open the store for reading, for a command that writes later: a store that cannot be read as it is counts as none."""
    from agentctl.wiring import open_store

    store = None
    if _exists(used.store_path):
        with suppress(StoreError):  # opening it for writing migrates an older one and reports anything worse
            store = open_store(used.store_path, read_only=True)
    try:
        yield store
    finally:
        if store is not None:
            store.close()


@contextmanager
def writing(used: Project) -> Iterator[Store]:
    """Open the store for writing, for a command that drives nothing. Enter within the event loop that uses it."""
    from agentctl.wiring import open_store

    store = open_store(used.store_path)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def requesting(used: Project) -> Iterator[tuple[Client, Store]]:
    """Open a client of the project's store, for a command that only requests. Enter within the event loop that uses it."""
    from agentctl.cli.output import show_log
    from agentctl.wiring import build_client

    show_log()
    with writing(used) as store:
        yield build_client(used, store), store


async def follow_files(used: Project, store: Store, *, drives: bool = False) -> None:
    """Deploy the definitions as the files are now, unless `agentctl serve` is running, which has done so. Raises StoreError.

    `drives`: the command drives a run, so that only events trigger something.
    """
    from agentctl.wiring import deploy_now, deploy_triggers

    if store.serving() is not None:
        return
    try:
        await (deploy_triggers if drives else deploy_now)(used, store)
    except OSError as error:
        output.note(f"{error.filename}: {error.strerror}; everything stays as it is deployed")


@contextmanager
def recorded(db: str | None, run: str) -> Iterator[tuple[Store, RunRow]]:
    """Open the store for reading, and find the run that a prefix or `last` names. Raises NotFound, AmbiguousPrefix."""
    with reading(db) as store:
        row = found(store, run)
        assert store is not None  # otherwise `found` has raised
        yield store, row


def found(store: Runs | None, run: str) -> RunRow:
    """Return the run that a prefix names; `last`: the newest that a person started. Raises NotFound, AmbiguousPrefix."""
    if store is None:
        raise NotFound(f"no such run: {run} (there is no store here yet; `agentctl run` creates one)")
    if run != "last":
        return store.find(run)
    from agentctl.ports import HistoryFilter
    from agentctl.render.text import visible

    newest = store.history(HistoryFilter(trigger="manual", limit=1))
    if not newest:
        raise NotFound("no run was started by a person yet; `agentctl history` lists all runs")
    output.note(f"last: run {newest[0].id} of {visible(newest[0].name)}")
    return newest[0]


class Hints:
    """The commands to continue with. They name the store when the current folder does not lead to it."""

    def __init__(self, run_id: str, used: Project, db: str | None) -> None:
        here = project(None).store_path
        where = "" if db is None and used.store_path == here else f" --db {shlex.quote(str(used.store_path))}"
        self.where = where
        self.show = f"agentctl show {run_id}{where}"
        self.resume = f"agentctl resume {run_id}{where}"
        self.drive = f"agentctl serve, or {self.resume}"
