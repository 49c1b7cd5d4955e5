"""The only place that picks concrete parts: which store, which actions, which clock an engine gets."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentctl.store.ledger import open_store

if TYPE_CHECKING:
    from agentctl.engine.engine import Engine
    from agentctl.language.catalog import Catalog
    from agentctl.language.project import Project
    from agentctl.ports import Finding, Observer, Store, StoredDefinition

__all__ = [
    "build_engine",
    "calm_collector",
    "examine_models",
    "examine_store",
    "known_definition",
    "load_definition",
    "open_store",
    "skill_loader",
]


def build_engine(project: Project, store: Store, *, observers: Sequence[Observer] = (), workers: int = 16) -> Engine:
    """An engine on an open store of a project. To be made within the event loop that uses it; `workers`: attempts at once."""
    from agentctl.actions.registry import build
    from agentctl.actions.secrets import Secrets
    from agentctl.actions.surroundings import LocalSurroundings
    from agentctl.engine.clock import SystemClock
    from agentctl.engine.engine import Engine
    from agentctl.language.catalog import Catalog

    secrets = Secrets(project.root, project.secrets_from)
    return Engine(
        store,
        build(project.models, secrets, store, project.policy),
        LocalSurroundings(project.root, store, secrets),
        SystemClock(),
        skill_loader(store, Catalog(project)),
        observers,
        workers,
    )


def calm_collector() -> None:
    """Let Python look for cycles of dead objects less often, and not among what is loaded by now. For processes that are ours.

    Runs come and go by the thousand, and all that is imported stays: at Python's settings a third of the work was looking.
    """
    import gc

    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def skill_loader(store: Store, catalog: Catalog) -> Callable[[str], StoredDefinition]:
    """name -> the definition as it is on disk now. The function raises NotFound, DefinitionInvalid."""

    def load_skill(name: str) -> StoredDefinition:
        return load_definition(store, catalog, catalog.path(name))[0]

    return load_skill


def load_definition(store: Store | None, catalog: Catalog, path: Path) -> tuple[StoredDefinition, list[Any]]:
    """A definition, and the warnings about it (none when it was checked before). Raises DefinitionInvalid, NotFound.

    The store is only looked at, for the compiled form. None: there is none yet.
    """
    known = None if store is None else known_definition(store, catalog, path)
    if known is not None:
        return known, []
    from agentctl.language.load import load_to_run
    from agentctl.ports import StoredDefinition

    found = load_to_run(path, catalog)
    stored = StoredDefinition(version=found.version, definition=found.definition, source=found.text, file=found.file)
    return stored, found.problems


def known_definition(store: Store, catalog: Catalog, path: Path) -> StoredDefinition | None:
    """The compiled form that the store keeps for exactly these bytes, so that no YAML parser need be imported.

    It was checked when it was stored; what may have changed since is that a skill it calls is gone. None: read it anew.
    """
    from hashlib import sha256

    try:
        stored = store.definition(sha256(path.read_bytes()).hexdigest())
    except OSError:
        return None  # the loader says what is wrong with the file
    if stored is None or any(catalog.kind(name) is None for name in stored.definition.skills):
        return None
    return stored


def examine_store(path: Path) -> list[Finding]:
    """What can be said of the store at `path`, which need not exist; nothing is changed."""
    from agentctl.store.checkup import examine

    return examine(path)


def examine_models(project: Project, *, needed: bool) -> list[Finding]:
    """The project's models and secrets. `needed`: whether a definition calls a model."""
    from agentctl.actions import checkup
    from agentctl.actions.secrets import Secrets

    try:
        secrets = Secrets(project.root, project.secrets_from)
    except OSError:  # a file that cannot be read: the findings on it say so
        secrets = Secrets(project.root, ())
    return [*checkup.examine_models(project.models, secrets, needed=needed), *checkup.examine_secrets(project.root, os.environ)]
