"""The only place that picks concrete parts: which store, which actions, which clock an engine gets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentctl.store.ledger import open_store

if TYPE_CHECKING:
    from agentctl import JSON
    from agentctl.actions.secrets import Secrets
    from agentctl.engine.engine import Engine
    from agentctl.engine.host import EngineConfig
    from agentctl.language.catalog import Catalog
    from agentctl.language.project.project import Project
    from agentctl.ports import Admission, Client, DescribeSkill, Finding, Journals, Observer, Store, StoredDefinition
    from agentctl.service.component import Component, TriggerContext
    from agentctl.service.http.address import Address
    from agentctl.service.http.counters import Counters
    from agentctl.service.serve import Service
    from agentctl.store.ledger import Ledger
    from agentctl.store.upkeep.backup import Backup

__all__ = [
    "back_up",
    "build_client",
    "build_engine",
    "build_service",
    "calm_collector",
    "deploy_now",
    "deploy_triggers",
    "examine_models",
    "examine_store",
    "known_definition",
    "load_definition",
    "open_store",
    "release_gathered",
    "set_secrets",
    "skill_loader",
]


def build_client(project: Project, store: Store) -> Client:
    """A client on an open store of a project, for commands that drive nothing."""
    from agentctl.engine.client import Client
    from agentctl.engine.clock import SystemClock
    from agentctl.triggers.events import EventTriggers

    return Client(store, SystemClock(), EventTriggers(store, project.vars))


def build_engine(project: Project, store: Store, *, observers: Sequence[Observer] = (), workers: int = 16) -> Engine:
    """An engine on an open store of a project. To be made within the event loop that uses it; `workers`: attempts at once."""
    from agentctl.actions.secrets import Secrets
    from agentctl.engine.engine import Engine
    from agentctl.language.catalog import Catalog

    secrets = Secrets(project.root, project.secrets_from)
    with suppress(OSError):  # the token that `serve` made lies beside the store, where a step can read it
        token = project.store_path.with_name(f"{project.store_path.name}.token")
        secrets.mask([token.read_text(encoding="utf-8", errors="replace").strip()])
    return Engine(_engine_config(project, store, secrets, skill_loader(store, Catalog(project)), observers, workers))


def _engine_config(
    project: Project,
    store: Store,
    secrets: Secrets,
    load_skill: Callable[[str], StoredDefinition],
    observers: Sequence[Observer],
    workers: int,
) -> EngineConfig:
    from agentctl.actions.registry import build
    from agentctl.actions.surroundings import LocalSurroundings
    from agentctl.engine.clock import SystemClock
    from agentctl.engine.host import EngineConfig
    from agentctl.language.catalog import Catalog
    from agentctl.triggers.events import EventTriggers

    return EngineConfig(
        store=store,
        actions=build(
            project.models,
            secrets,
            store,
            project.policy,
            skill_describer(store, load_skill),
            lambda: Catalog(project).names("skill"),
        ),
        surroundings=LocalSurroundings(project.root, store, secrets),
        clock=SystemClock(),
        load_skill=load_skill,
        observers=observers,
        workers=workers,
        triggers=EventTriggers(store, project.vars),
    )


def build_service(  # long: each part of the service is picked here, one line each
    project: Project,
    store: Ledger,
    *,
    workers: int,
    grace: float,
    listen: Address | None,
    on_ready: Callable[[str], None],
    observers: Sequence[Observer] = (),
) -> Service:
    """Build `agentctl serve` on a store that this process serves. To be called within its event loop.

    `on_ready`: called when it is ready, with the URL where it listens for HTTP, "" if it does not.
    `observers`: of all runs, in addition to its own.

    Raises UsageError for a token that cannot be used, and for packages that are missing.
    """
    from agentctl.actions.secrets import Secrets
    from agentctl.engine.clock import SystemClock
    from agentctl.engine.engine import Engine
    from agentctl.engine.residency.serving import Serving
    from agentctl.service.component import TriggerContext
    from agentctl.service.disk.deployer import Deployer
    from agentctl.service.disk.files import FileWatch
    from agentctl.service.log import RunLog
    from agentctl.service.parts.batcher import Batcher
    from agentctl.service.parts.failure_monitor import FailureMonitor
    from agentctl.service.parts.pruner import Pruner
    from agentctl.service.parts.scheduler import Scheduler
    from agentctl.service.problems import Problems
    from agentctl.service.secret_names import DeployedSecrets
    from agentctl.service.serve import Service
    from agentctl.service.systemd.notify import Notifier

    secrets = Secrets(project.root, project.secrets_from)
    counters = None if listen is None else _counters(store)
    problems = Problems()
    deployer = Deployer(project, store, SystemClock())
    DeployedSecrets(deployer, secrets)
    watching: list[Observer] = [RunLog(store), *observers]
    if counters is not None:
        watching.append(counters)
    config = _engine_config(project, store, secrets, deployer.skill, watching, workers)
    clock = config.clock
    engine = Engine(config, Serving)
    scheduler = Scheduler(store, engine, clock, deployer, project.vars, problems, project.timezone)
    parts: list[Component] = [
        deployer,  # before the engine: a run that is taken over may call a skill
        engine,
        scheduler,
        Batcher(store, engine, clock, project.vars, problems),
        FileWatch(project, store, clock, deployer, engine.record),
        FailureMonitor(store, clock),
        Pruner(project, store, clock),
        *_installed_triggers(TriggerContext(project.root, clock, deployer, project.vars, engine.record)),
    ]
    notifier = Notifier(os.environ)
    if listen is None or counters is None:
        return Service(engine, parts, clock, notifier, grace=grace, on_ready=lambda: on_ready(""))
    from agentctl.service.http.context import Context
    from agentctl.service.http.listener import Listener
    from agentctl.service.http.store_probe import StoreProbe
    from agentctl.service.http.token import find as find_token

    token = find_token(store.path)
    secrets.mask([token.value])
    context = Context(
        store=store,
        engine=engine,
        clock=clock,
        secrets=secrets,
        triggers=config.triggers,
        deployed=deployer,
        vars=project.vars,
        unready=lambda: service.unready,
        slots=lambda: scheduler.settled,
        problems=problems,
        counters=counters,
        store_probe=StoreProbe(store),
        token=token,
    )
    listener = Listener(listen, context)
    # The listener first: a taken address is an error before anything is driven, and until all are ready it answers 503.
    service = Service(engine, [listener, *parts], clock, notifier, grace=grace, on_ready=lambda: on_ready(listener.url))
    return service


def _installed_triggers(context: TriggerContext) -> Iterator[Component]:
    """The parts of `serve` that installed packages bring for their kinds of triggers."""
    from importlib import import_module

    from agentctl import spec

    for kind in spec.triggers().values():
        if kind.component:
            module, _, function = kind.component.partition(":")
            yield getattr(import_module(module), function)(context)


def _counters(store: Ledger) -> Counters:
    """What `serve --listen` counts for /metrics. Raises UsageError when the packages of the extra `serve` are missing."""
    from agentctl.errors import UsageError

    try:
        from agentctl.service.http.counters import Counters
    except ModuleNotFoundError as error:
        raise UsageError(f"--listen needs the package {error.name}: pip install 'agentctl[serve]'") from None
    counters = Counters(store)
    store.on_commit = counters.committed
    return counters


def calm_collector() -> None:
    """Let Python look for cycles of dead objects less often, and not among what is loaded by now. For processes that are ours.

    Runs come and go by the thousand, and all that is imported stays: at Python's settings a third of the work was looking.
    """
    import gc

    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def skill_loader(store: Journals, catalog: Catalog) -> Callable[[str], StoredDefinition]:
    """name -> the definition as it is on disk now. The function raises NotFound, DefinitionInvalid."""

    def load_skill(name: str) -> StoredDefinition:
        return load_definition(store, catalog, catalog.path(name))[0]

    return load_skill


def skill_describer(store: Store, load_skill: Callable[[str], StoredDefinition]) -> DescribeSkill:
    """How a skill is offered to an agent: the version that its run is pinned to, else of the one on disk now."""
    from agentctl.language.tools import described_skill
    from agentctl.ports import HistoryFilter

    def describe(run_id: str, name: str) -> dict[str, JSON]:
        earlier = store.history(HistoryFilter(parent=run_id, name=name, limit=1))
        pinned = store.definition(earlier[0].version) if earlier else None
        return described_skill((pinned or load_skill(name)).definition)

    return describe


def load_definition(store: Journals | None, catalog: Catalog, path: Path) -> tuple[StoredDefinition, list[Any]]:
    """A definition, and the warnings about it (none when it was checked before). Raises DefinitionInvalid, NotFound.

    The store is only looked at, for the compiled form. None: there is none yet.
    """
    known = None if store is None else known_definition(store, catalog, path)
    if known is not None:
        return known, []
    from agentctl.language.load import load_to_run

    found = load_to_run(path, catalog)
    return found, list(found.problems)


def known_definition(store: Journals, catalog: Catalog, path: Path) -> StoredDefinition | None:
    """The compiled form that the store keeps for exactly these bytes, so that no YAML parser need be imported.

    It was checked when it was stored; what may have changed since is that a skill it calls is gone. None: read it again.
    """
    from hashlib import sha256

    try:
        stored = store.definition(sha256(path.read_bytes()).hexdigest())
    except OSError:
        return None  # the loader says what is wrong with the file
    if stored is None or any(catalog.kind(name) is None for name in stored.definition.skills):
        return None
    return stored


async def deploy_now(project: Project, store: Store) -> None:
    """Bring the deployments in line with the files, for a command that triggers while no `serve` lives to have done so.

    In a project that is not the store's own everything stays as it is deployed: with `--db` a command may look at a store from
    anywhere, where none of its definitions lie. Raises StoreError, and OSError when a folder cannot be listed. A file that cannot
    be used is no error: its last good version stays.
    """
    import time

    from agentctl.service.disk.deployer import bring_in_line
    from agentctl.service.disk.ownership import is_home

    if is_home(project, store):
        await bring_in_line(project, store, time.time())


async def deploy_triggers(project: Project, store: Store) -> None:
    """Do the same for a command that drives a run, whose events may start others; at once where nothing is triggered by events.

    Raises StoreError, and OSError when a folder cannot be listed.
    """
    from agentctl.service.disk.scan import files

    if store.deployments() or any(b"event" in path.read_bytes() for path in files(project.root)):
        await deploy_now(project, store)


async def release_gathered(project: Project, store: Store) -> list[Admission]:
    """Make runs of the gathered events that are due, for a command that sends one while no `serve` lives to do so."""
    import time

    from agentctl.service.parts.batcher import release_due
    from agentctl.service.problems import Problems

    return await release_due(store, time.time(), project.vars, Problems())


def examine_store(path: Path) -> list[Finding]:
    """What can be said of the store at `path`, which need not exist; nothing is changed."""
    from agentctl.store.upkeep.checkup import examine

    return examine(path)


def back_up(path: Path, target: Path) -> Backup:
    """Write a copy of the store at `path`, which may be in use, to a new file. Raises UsageError, StoreError."""
    from agentctl.store.upkeep.backup import back_up

    return back_up(path, target)


def set_secrets(project: Project) -> frozenset[str]:
    """The names of all secrets that are set. Raises OSError when a file with secrets cannot be read."""
    from agentctl.actions.secrets import Secrets

    return frozenset(Secrets(project.root, project.secrets_from).names())


def examine_models(project: Project, *, needed: bool) -> list[Finding]:
    """The project's models and secrets. `needed`: whether a definition calls a model."""
    from agentctl.actions import checkup
    from agentctl.actions.secrets import Secrets
    from agentctl.errors import UsageError

    try:
        secrets = Secrets(project.root, project.secrets_from)
    except (OSError, UsageError):  # a file that cannot be read: the findings on it say so
        secrets = Secrets(project.root, ())
    return [*checkup.examine_models(project.models, secrets, needed=needed), *checkup.examine_secrets(project.root, os.environ)]
