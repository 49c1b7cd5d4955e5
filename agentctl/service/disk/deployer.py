"""Hot deploy: the deployments follow the files of loops/ and skills/ (docs/serve.md).

A valid file serves the next run; of one that cannot be used the last good version stays. Runs are pinned to their versions, so
nothing here reaches a run that is under way.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from agentctl.errors import DefinitionInvalid, NotFound
from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.project.project import FILES, FOLDERS, Project
from agentctl.ports import Clock, Deployment, Deployments, Journals, StoredDefinition
from agentctl.service.disk.ownership import abandoned, folder_of, root_of
from agentctl.service.disk.scan import Reading, changes, files, scan
from agentctl.service.disk.watching import LOOK_AGAIN, Wakeup, watch
from agentctl.triggers.events import patterns

log = logging.getLogger(__name__)

_SETTLE = 0.1  # seconds in which nobody may have written to the files before they are read
_PATIENCE = 20  # times: they are read at last though somebody keeps writing
_BREATH = 0.05  # seconds between two looks at the store, however often it changes

Stamps = dict[str, tuple[int, ...]]


class Definitions(Deployments, Journals, Protocol):
    """What is needed of the store here."""


class Deployer:
    """A Component of the service, and its `Deployed`."""

    name = "deployer"

    def __init__(self, project: Project, store: Definitions, clock: Clock) -> None:
        self.on_change: list[Callable[[], None]] = []
        self._project = project
        self._store = store
        self._clock = clock
        self._wakeup = Wakeup(clock)
        self._one_at_a_time = asyncio.Lock()
        self._stamps: Stamps = {}
        self._looked_at = 0.0
        self._reported = False  # that there is something to see
        self._deployments: dict[str, Deployment] = {}
        self._definitions: dict[str, StoredDefinition] = {}  # of every deployment that has a good version
        self._reported_problems: frozenset[str] = frozenset()
        self._root = root_of(project)
        self._others: frozenset[str] = frozenset()  # roots of what is deployed that are not this one; they were logged
        self._settings = [_digest(project.root / name) for name in FILES]
        self._unlisted = ""

    # --- what others ask ---

    def definitions(self) -> Mapping[str, StoredDefinition]:
        return {name: self._definitions[name] for name, found in self._deployments.items() if self._triggers(found, paused=False)}

    def paused(self) -> Mapping[str, StoredDefinition]:
        return {name: self._definitions[name] for name, found in self._deployments.items() if self._triggers(found, paused=True)}

    def skill(self, name: str) -> StoredDefinition:
        """The last good version of what a step or a person starts by name, paused or not. Reads no file. Raises NotFound."""
        deployment = self._deployments.get(name)
        if deployment is None or deployment.gone or name not in self._definitions:
            known = [other for other, found in self._deployments.items() if not found.gone]
            why = f": {deployment.problem}" if deployment and deployment.problem else did_you_mean(name, known)
            raise NotFound(f"there is no loop or skill '{name}' in {self._project.root}{why}")
        return self._definitions[name]

    def _triggers(self, deployment: Deployment, *, paused: bool) -> bool:
        return deployment.name in self._definitions and not deployment.gone and (deployment.paused_at is not None) == paused

    # --- the part ---

    async def begin(self) -> None:
        await self.reload()

    async def reload(self) -> None:
        """Read all files again, now. Raises StoreError."""
        self._look_at_settings()
        with self._listing():
            await self._follow(await asyncio.to_thread(_stamps, self._project.root))
        self._take(self._store.deployments())

    async def run(self) -> None:
        watching = asyncio.create_task(watch(self._folders, lambda _: self._look_at_files(), self._clock))
        try:
            while True:
                await self._wakeup.wait(self._looked_at + LOOK_AGAIN)
                # A clock that was put back shows a time before the last look: that is no reason to wait for it.
                if self._reported or not self._looked_at <= self._clock.now() < self._looked_at + LOOK_AGAIN:
                    await self._look()
                self._take(self._store.deployments())
                await self._clock.sleep_until(self._clock.now() + _BREATH)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def look(self) -> None:
        self._wakeup.set()

    def _look_at_files(self) -> None:
        self._reported = True
        self._wakeup.set()

    def _folders(self) -> list[Path]:
        return [self._project.root / folder for folder in FOLDERS]

    # --- from disk to store ---

    async def _look(self) -> None:
        self._looked_at, self._reported = self._clock.now(), False
        self._look_at_settings()
        with self._listing():
            if await asyncio.to_thread(_stamps, self._project.root) != self._stamps:
                await self._follow(await self._settled())

    @contextmanager
    def _listing(self) -> Iterator[None]:
        """While a folder cannot be listed everything stays as it is deployed; logged once, and looked at again and again."""
        before, self._unlisted = self._unlisted, ""
        try:
            yield
        except OSError as error:
            self._unlisted = f"{error.filename}: {error.strerror}"
            if self._unlisted != before:
                log.warning("%s; everything stays as it is deployed", self._unlisted)

    async def _settled(self) -> Stamps:
        """As the files are once nobody writes to them: an editor may write in pieces."""
        found = await asyncio.to_thread(_stamps, self._project.root)
        for _ in range(_PATIENCE):
            before = found
            await self._clock.sleep_until(self._clock.now() + _SETTLE)
            found = await asyncio.to_thread(_stamps, self._project.root)
            if found == before:
                break
        return found

    async def _follow(self, stamps: Stamps) -> None:
        """Bring the deployments in line with the files, which were last seen as `stamps`; if it fails, it is tried again."""
        async with self._one_at_a_time:
            known = {stored.version: stored for stored in self._definitions.values()}
            readings, changed = await bring_in_line(self._project, self._store, self._clock.now(), known)
            self._stamps = stamps
            self._tell(readings, changed)
            known.update((reading.stored.version, reading.stored) for reading in readings if reading.stored)
            self._take(self._store.deployments(), known)
            self._tell_of_others()

    def _take(self, deployments: Sequence[Deployment], fresh: Mapping[str, StoredDefinition] | None = None) -> None:
        """These count from now on. `fresh`: by version, definitions that were read just now."""
        if {found.name: found for found in deployments} == self._deployments:
            return
        before = self.definitions(), self.paused()
        known = {stored.version: stored for stored in self._definitions.values()} | dict(fresh or {})
        self._deployments = {found.name: found for found in deployments}
        self._definitions = {}
        for found in deployments:
            stored = known.get(found.version) or definition_of(self._store, found)
            if stored is not None:
                self._definitions[found.name] = stored
        if (self.definitions(), self.paused()) != before:
            for callback in self.on_change:
                callback()

    # --- the log ---

    def _tell(self, readings: Sequence[Reading], changed: Sequence[Deployment]) -> None:
        for found in changed:
            if found.gone:
                log.warning("%s is gone: nothing triggers '%s' any more; its runs continue", found.file, found.name)
            elif not found.problem and (found.version != self._version(found.name) or self._was_troubled(found.name)):
                log.info("deployed %s '%s', version %s, from %s", found.kind, found.name, found.version[:12], found.file)
        problems = frozenset(self._problems(readings))
        for problem in sorted(problems - self._reported_problems):
            log.warning("%s", problem)
        self._reported_problems = problems

    def _problems(self, readings: Sequence[Reading]) -> Iterator[str]:
        """What keeps files from being used as they are now, whichever process found it first: each serve logs it once."""
        deployments = self._store.deployments()
        for found in deployments:
            if found.problem and found.root == self._root:
                stays = f"the last good version of '{found.name}' stays" if found.version else f"'{found.name}' is not deployed"
                yield f"{found.problem}; {stays}"
        deployed = {found.file for found in deployments}
        for reading in readings:
            if not reading.name and reading.file not in deployed:
                why = reading.problem or f"{reading.file}: does not begin with 'loop: NAME' or 'skill: NAME'"
                yield f"{why}; nothing is deployed from it"

    def _tell_of_others(self) -> None:
        """What is deployed from other projects is triggered all the same, but its steps find themselves in this one."""
        others: dict[str, list[str]] = {}
        for name, found in self._deployments.items():
            if not found.gone and found.root != self._root:
                others.setdefault(found.root, []).append(name)
        for root in sorted(others.keys() - self._others):
            log.warning(
                "deployed from %s: %s; that stays as it is, and is triggered, but its steps run in %s: is this the right folder?",
                folder_of(self._project, root),
                ", ".join(others[root]),
                self._project.root,
            )
        self._others = frozenset(others)

    def _version(self, name: str) -> str:
        return self._deployments[name].version if name in self._deployments else ""

    def _was_troubled(self, name: str) -> bool:
        return name in self._deployments and (self._deployments[name].gone or self._deployments[name].problem is not None)

    def _look_at_settings(self) -> None:
        """What agentctl.yaml says is read once: models, secrets and limits of a run under way must not change beneath it."""
        digest = [_digest(self._project.root / name) for name in FILES]
        if digest != self._settings:
            self._settings = digest
            log.warning("%s has changed; start serve again to have it read", FILES[0])


async def bring_in_line(
    project: Project, store: Definitions, at: float, known: Mapping[str, StoredDefinition] | None = None
) -> tuple[list[Reading], list[Deployment]]:
    """Read the files in a thread, and write what they change: the definitions, and then, in one commit, the deployments.

    Returns what was read, and what has changed. Writes nothing when nothing has. Raises StoreError.
    """
    readings = await asyncio.to_thread(scan, project, store, known or {})
    before = {found.name: found for found in store.deployments()}
    changed = changes(before, readings, at, root_of(project), abandoned(project, before.values()))
    fresh = {reading.stored.version: reading.stored for reading in readings if reading.stored is not None}
    used = [fresh.get(found.version) or definition_of(store, found) for found in changed]
    news = [stored for stored in used if stored is not None and stored.version in fresh]
    await asyncio.gather(*(store.register(stored) for stored in news))
    if changed:
        events = {
            found.name: [] if stored is None else patterns(stored.definition) for found, stored in zip(changed, used, strict=True)
        }
        await store.deploy(changed, events)
    return readings, changed


def definition_of(store: Journals, deployment: Deployment) -> StoredDefinition | None:
    """Its last good version; None: there never was one, or this agentctl refuses what another took."""
    try:
        return store.definition(deployment.version) if deployment.version else None
    except DefinitionInvalid as error:
        log.warning("the last good version of '%s' cannot be used any more: %s", deployment.name, error)
        return None


def _stamps(root: Path) -> Stamps:
    """What changes when a file is written to or replaced, found without reading it."""
    found: Stamps = {}
    for path in files(root):
        try:
            status = os.stat(path)
        except OSError:
            continue
        found[str(path)] = status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
    return found


def _digest(path: Path) -> str | None:
    """SHA-256 of a file in hex, "" when there is none; None: it cannot be read now (too many open files), which says nothing."""
    try:
        return sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError:
        return None
