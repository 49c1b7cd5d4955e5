"""What the files of loops/ and skills/ define as they are now, and what that makes of the deployments."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence, Set
from hashlib import sha256
from pathlib import Path

import msgspec

from agentctl.errors import DefinitionInvalid, NotFound
from agentctl.language.catalog import Catalog, definition_files, head_of
from agentctl.language.project.project import FOLDERS, Project
from agentctl.ports import Deployment, Journals, StoredDefinition

_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)  # they say nothing about the file: it is read again


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `kind` and `name`: as its head says, "" when it does not.  `stored`: what it defines; None when it cannot be
    used, and `problem` says why."""

    file: str
    kind: str
    name: str
    stored: StoredDefinition | None = None
    problem: str | None = None


def scan(project: Project, store: Journals, known: Mapping[str, StoredDefinition]) -> list[Reading]:
    """Every definition's file, in the order of their paths. `known`: by version, so that what has not changed is not read again.

    Takes a millisecond for each file that changed: to be called in a thread. Raises OSError when a folder cannot be listed.
    """
    catalog = Catalog(project)
    return [_read(path, catalog, store, known) for path in files(project.root)]


def files(root: Path) -> Iterator[Path]:
    """The definitions of a project; their test cases may lie beside them. Raises OSError when a folder is there, but cannot be
    listed: what is deployed from it is not gone."""
    for folder in FOLDERS:
        yield from definition_files(root / folder, _raise)


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _read(path: Path, catalog: Catalog, store: Journals, known: Mapping[str, StoredDefinition]) -> Reading:
    shown = catalog.shown(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        if error.errno in _PASSING:
            raise
        return Reading(file=shown, kind="", name="", problem=f"{shown}: cannot be read: {error.strerror or error}")
    kind, name = head_of(data) or ("", "")
    version = sha256(data).hexdigest()
    try:
        stored = known.get(version) or store.definition(version)
        if stored is None or any(catalog.kind(skill) is None for skill in stored.definition.skills):
            stored = _compiled(path, catalog)
    except (DefinitionInvalid, NotFound) as error:
        return Reading(file=shown, kind=kind, name=name, problem=_first_line(error))
    definition = stored.definition
    return Reading(file=shown, kind=definition.kind, name=definition.name, stored=stored)


def _compiled(path: Path, catalog: Catalog) -> StoredDefinition:
    from agentctl.language.load import load_to_run  # and with it the YAML parser

    return load_to_run(path, catalog)


def _first_line(error: DefinitionInvalid | NotFound) -> str:
    if isinstance(error, NotFound):
        return str(error)
    first, *more = [problem for problem in error.problems if problem.severity == "error"]
    return f"{first} (and {len(more)} more)" if more else str(first)


def changes(
    before: Mapping[str, Deployment], readings: Sequence[Reading], at: float, root: str, abandoned: Set[str]
) -> list[Deployment]:
    """The deployments that are to be other than before, by name. Pure.

    readings: the files of the project at `root`. A name that is deployed from elsewhere and defined here, too, is deployed from
      here from now on; otherwise they say nothing about what is deployed from elsewhere.
    abandoned: roots that are no more; this project becomes their owner.

    A file that cannot be used stands for what was deployed from it: its last good version stays. Of several files with one name
    the one that is deployed stays, else the first counts.
    """
    judged = {root, *abandoned}
    own = {name: deployment for name, deployment in before.items() if deployment.root in judged}
    claims: dict[str, list[Reading]] = {}
    for reading in readings:
        for name in _claimed(reading, own):
            claims.setdefault(name, []).append(reading)
    after = [_deployment(name, files, before.get(name), at, root) for name, files in claims.items()]
    gone = [
        msgspec.structs.replace(deployment, gone=True, problem=None)
        for name, deployment in own.items()
        if name not in claims and not deployment.gone
    ]
    changed = [deployment for deployment in (*after, *gone) if deployment != before.get(deployment.name)]
    return sorted(changed, key=lambda deployment: deployment.name)


def _claimed(reading: Reading, own: Mapping[str, Deployment]) -> list[str]:
    if reading.stored is not None:
        return [reading.name]
    deployed = [name for name, deployment in own.items() if deployment.file == reading.file and not deployment.gone]
    return deployed or [reading.name] * bool(reading.name)


def _deployment(name: str, claims: Sequence[Reading], before: Deployment | None, at: float, root: str) -> Deployment:
    current = None if before is None or before.gone else before.file
    chosen = min(claims, key=lambda reading: (reading.file != current, reading.stored is None))
    others = [reading.file for reading in claims if reading is not chosen]
    taken = f"{others[0]}: defines '{name}' as well, and is not used: {chosen.file} is" if others else None
    version = chosen.stored.version if chosen.stored else before.version if before else ""
    same = before is not None and before.version == version
    return Deployment(
        name=name,
        kind=before.kind if before and chosen.stored is None else chosen.kind,
        file=chosen.file,
        version=version,
        deployed_at=before.deployed_at if before is not None and same and not before.gone else at,
        problem=chosen.problem or taken,
        gone=False,
        paused_at=before.paused_at if before else None,
        root=root,
    )
