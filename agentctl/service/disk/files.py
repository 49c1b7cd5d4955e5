"""File triggers: each version of a file that matches starts one run (docs/language.md, File triggers).

Folders are looked through at times, and at once when something in them is said to have changed. A file counts when nobody has
written to it for a moment; then its content is hashed, and the event `file:<definition>:<path>:<hash>` is sent, which the ledger
keeps once. What was dealt with stands in the store, so that a restart starts nothing again, and knows what was there before.
Files that are there when the trigger is first deployed have been dealt with by nobody: they start runs, as in a folder that is
a queue they should.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from agentctl.language.project.project import Project
from agentctl.ports import NOTHING, Clock, Deployments, NewEvent, SeenFile, SendResult, StoredDefinition, Triggered
from agentctl.service.component import Deployed
from agentctl.service.disk.folders import Abandoned, Stamps, Unsettled, digest, find, written_at
from agentctl.service.disk.watching import LOOK_AGAIN, Wakeup, watch
from agentctl.spec.triggers import FileSettings
from agentctl.triggers.events import starts_of
from agentctl.triggers.file_patterns import FilePattern, file_pattern

log = logging.getLogger(__name__)

STILL = 0.5  # seconds in which nobody may have written to a file
_REST = 5  # a look at the folders is followed by so many times the time it took
_IDLE = 50  # ... and when nothing is said to have changed, by so many times
_AT_ONCE = 64  # files that are read and sent before the next ones
_TRIGGERS_NOTHING = "file %s triggers nothing: %s"


class _Trigger(msgspec.Struct, frozen=True):
    """Trigger `number` of a definition."""

    stored: StoredDefinition
    number: int
    pattern: FilePattern
    on: frozenset[str]


class _Version(msgspec.Struct, frozen=True):
    """A file as it is now, which trigger `trigger` has not dealt with. `change`: created, modified."""

    trigger: _Trigger
    path: str
    stamp: str
    change: str


Record = Callable[[NewEvent, Triggered], Awaitable[SendResult]]
"""Keeps an event with what it starts, and has that driven soon."""


class FileWatch:
    """A Component of the service."""

    name = "files"

    def __init__(self, project: Project, store: Deployments, clock: Clock, deployed: Deployed, record: Record) -> None:
        self._root = project.root
        self._vars = project.vars
        self._store = store
        self._clock = clock
        self._deployed = deployed
        self._record = record
        self._wakeup = Wakeup(clock)
        self._triggers: dict[str, list[_Trigger]] = {}  # by definition
        self._seen: dict[str, dict[str, SeenFile]] = {}  # by definition and path
        self._stamps: Stamps = {}
        self._still_since: dict[str, float] = {}  # by path, as far as its stamp was not always there
        self._complaints: set[tuple[str, str]] = set()
        self._unreadable: dict[str, str] = {}  # why, by path
        self._stopped = False
        deployed.on_change.append(self._wakeup.set)

    async def begin(self) -> None:
        """Nothing has to be so before the service is ready: a file can wait."""

    async def run(self) -> None:
        self._stopped = False
        watching = [
            asyncio.create_task(watch(lambda: self._folders(deep=False), self._changed, self._clock, recursive=False)),
            asyncio.create_task(watch(lambda: self._folders(deep=True), self._changed, self._clock)),
        ]
        try:
            while True:
                begun = time.monotonic()
                is_settled = await self._look()
                took = time.monotonic() - begun
                # Large folders are looked at less often than small ones, whatever happens in them.
                await self._clock.sleep_until(self._clock.now() + _REST * took)
                await self._wakeup.wait(self._clock.now() + (max(LOOK_AGAIN, _IDLE * took) if is_settled else STILL))
        finally:
            self._stopped = True  # a thread may be reading a large file
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    def look(self) -> None:
        """Of what the store says only the deployments concern files, and the deployer reports those."""

    # --- what to look at ---

    def _patterns(self) -> list[FilePattern]:
        return [trigger.pattern for triggers in self._triggers.values() for trigger in triggers]

    def _folders(self, *, deep: bool) -> list[Path]:
        """To be watched: those of patterns that reach further down, or those of the others."""
        return [self._root / pattern.base for pattern in self._patterns() if (pattern.depth != 0) == deep]

    def _changed(self, path: str) -> None:
        inside = Path(path).relative_to(self._root).as_posix() if Path(path).is_relative_to(self._root) else path
        if any(pattern.matches(inside) for pattern in self._patterns()):
            self._wakeup.set()

    def _follow_deployments(self) -> None:
        definitions = self._deployed.definitions()
        found = {name: _file_triggers(stored) for name, stored in definitions.items()}
        self._triggers = {name: triggers for name, triggers in found.items() if triggers}
        self._seen = {name: self._seen.get(name) or self._store.seen_files(name) for name in self._triggers}

    # --- looking ---

    async def _look(self) -> bool:
        """Deal with what has changed, oldest first; False when files have to be looked at again as soon as they are still."""
        self._follow_deployments()
        await self._find()
        versions = sorted(await asyncio.to_thread(self._unseen), key=lambda version: written_at(version.stamp))
        ripe = [version for version in versions if self._is_still(version.path)]
        for start in range(0, len(ripe), _AT_ONCE):
            await self._deal_with(ripe[start : start + _AT_ONCE])
        await self._forget()
        return len(ripe) == len(versions)

    async def _find(self) -> None:
        complaints: set[tuple[str, str]] = set()
        before = self._stamps
        patterns = list(dict.fromkeys(self._patterns()))
        self._stamps = await asyncio.to_thread(find, self._root, patterns, lambda *said: complaints.add(said))
        now = self._clock.now()
        changed = {path for path, stamp in self._stamps.items() if before.get(path) != stamp}
        self._still_since = {path: since for path, since in self._still_since.items() if path in self._stamps}
        self._still_since.update(dict.fromkeys(changed, now))
        self._unreadable = {path: why for path, why in self._unreadable.items() if path in self._stamps}
        for path, why in sorted(complaints - self._complaints):  # each once, for as long as there is reason to
            log.warning(_TRIGGERS_NOTHING, ascii(path), why)
        self._complaints = complaints

    def _is_still(self, path: str) -> bool:
        return self._clock.now() - self._still_since[path] >= STILL

    def _unseen(self) -> list[_Version]:
        found = []
        for name, triggers in self._triggers.items():
            seen = self._seen[name]
            for path, stamp in self._stamps.items():
                known = seen.get(path)
                if known is not None and known.stamp == stamp:
                    continue
                change = "created" if known is None else "modified"
                fitting = [trigger for trigger in triggers if trigger.pattern.matches(path)]
                if fitting:
                    cares = next((trigger for trigger in fitting if change in trigger.on), fitting[0])
                    found.append(_Version(cares, path, stamp, change))
        return found

    # --- dealing with what was found ---

    async def _deal_with(self, versions: list[_Version]) -> None:
        hashed = await asyncio.gather(*(self._digest(version) for version in versions))
        known = [(version, sha256) for version, sha256 in zip(versions, hashed, strict=True) if sha256 is not None]
        await asyncio.gather(*(self._send(version, sha256) for version, sha256 in known))
        for name in {version.trigger.stored.definition.name for version, _ in known}:
            dealt_with = [
                SeenFile(version.path, version.stamp, sha256)
                for version, sha256 in known
                if version.trigger.stored.definition.name == name
            ]
            await self._store.mark_files_seen(name, dealt_with)
            self._seen[name].update((file.path, file) for file in dealt_with)

    async def _digest(self, version: _Version) -> str | None:
        """None: it is not to be dealt with as it is now. It will be found again."""
        path, before = version.path, self._before(version)
        if before is not None and version.change not in version.trigger.on:
            return before.sha256  # its present content does not matter
        try:
            found = await asyncio.to_thread(digest, self._root / path, lambda: self._stopped)
        except (FileNotFoundError, Unsettled, Abandoned):
            self._still_since[path] = self._clock.now()
        except OSError as error:
            why = error.strerror or str(error)
            if self._unreadable.get(path) != why:
                self._unreadable[path] = why
                log.warning(_TRIGGERS_NOTHING, ascii(path), why)
        else:
            self._unreadable.pop(path, None)
            return found
        return None

    def _before(self, version: _Version) -> SeenFile | None:
        """The version of the file that was dealt with last."""
        return self._seen[version.trigger.stored.definition.name].get(version.path)

    async def _send(self, version: _Version, sha256: str) -> None:
        """The event with the run that it starts, in one commit; the ledger drops a version that it has seen."""
        stored = version.trigger.stored
        name = stored.definition.name
        before = self._before(version)
        if version.change not in version.trigger.on or (before is not None and before.sha256 == sha256):
            return
        event = NewEvent(
            f"agentctl.file.{version.change}",
            {"path": version.path, "sha256": sha256},
            f"file:{name}:{version.path}:{sha256}",
            self._clock.now(),
        )
        starts = starts_of(stored, version.trigger.number, event, self._vars)
        if starts is not NOTHING:
            await self._record(event, starts)

    async def _forget(self) -> None:
        """Files that are there no more: they need no room, and one that comes back was created."""
        for name, seen in self._seen.items():
            gone = seen.keys() - self._stamps.keys()
            if gone:
                await self._store.mark_files_seen(name, [], sorted(gone))
                for path in gone:
                    del seen[path]


def _file_triggers(stored: StoredDefinition) -> list[_Trigger]:
    return [
        _Trigger(stored, number, file_pattern(trigger.what), frozenset(msgspec.convert(trigger.settings, FileSettings).on))
        for number, trigger in enumerate(stored.definition.triggers)
        if trigger.kind == "file"
    ]
