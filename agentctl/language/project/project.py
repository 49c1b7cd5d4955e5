"""The project around a definition: its root, its store, and what `agentctl.yaml` says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agentctl.errors import UsageError
from agentctl.language.project import SOURCES

FILES = ("agentctl.yaml", "agentctl.yml")
SUFFIXES = (".yaml", ".yml")
TEST_SUFFIXES = (".test.yaml", ".test.yml")
FOLDERS = ("loops", "skills")
STORE = ".agentctl/agentctl.db"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """`models`: alias -> {model, api_base, ...}, a plain name made {model: name}.
    `secrets_from`: where secrets are looked up, in order.  `policy`: as written.
    `retention`: for how many seconds `serve` keeps runs that have ended; None: for ever.
    `timezone`: of the cron triggers that name none.
    `file`: agentctl.yaml (or .yml), None when the project has none."""

    root: Path
    store_path: Path
    models: dict[str, dict[str, Any]] = {}
    vars: dict[str, Any] = {}
    secrets_from: tuple[str, ...] = SOURCES
    policy: dict[str, Any] = {}
    retention: float | None = None
    timezone: str = "UTC"
    file: Path | None = None


def find(start: Path, *, db: str | Path | None = None, environment: Mapping[str, str] | None = None) -> Project:
    """The project that `start` (a definition's file, or a folder) belongs to.

    The store is `db`, else $AGENTCTL_DB (both relative to the current folder), else `store` of the project file
    (relative to the root), else `.agentctl/agentctl.db` there. Raises DefinitionInvalid when agentctl.yaml has problems, and
    UsageError for a path that is no UTF-8.
    """
    environment = os.environ if environment is None else environment
    folder = start.absolute() if start.is_dir() else start.absolute().parent
    root = _root(folder)
    file = _file(root)
    data = _read(file) if file is not None else {}
    chosen = db or environment.get("AGENTCTL_DB")
    store = Path(chosen).expanduser().absolute() if chosen else root / Path(data.get("store") or STORE).expanduser()
    for path in (root, store):
        demand_text(path)
    models = data.get("models") or {}
    return Project(
        root=root,
        store_path=store,
        models={alias: {"model": model} if isinstance(model, str) else model for alias, model in models.items()},
        vars=data.get("vars") or {},
        secrets_from=tuple((data.get("secrets") or {}).get("from", SOURCES)),
        policy=data.get("policy") or {},
        retention=_seconds(data.get("retention")),
        timezone=data.get("timezone") or "UTC",
        file=file,
    )


def _file(root: Path) -> Path | None:
    """The project file of a root. Raises UsageError when there are two: one of them would have no effect."""
    files = [root / name for name in FILES if (root / name).is_file()]
    if len(files) > 1:
        raise UsageError(f"{root} has both {' and '.join(FILES)}: remove one of them")
    return files[0] if files else None


def demand_text(path: Path) -> None:
    """Raises UsageError for a path that neither a store nor JSON can hold."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        why = "has characters that are no UTF-8; give what lies there another name"
        raise UsageError(f"the path {str(path)!a} {why}") from None


def _seconds(duration: str | None) -> float | None:
    from agentctl.expressions.duration import parse_duration

    return None if duration is None else parse_duration(duration)


def _root(folder: Path) -> Path:
    upward = [folder, *folder.parents]
    for candidate in upward:
        if any((candidate / name).is_file() for name in FILES):
            return candidate
    for candidate in upward:
        if any((candidate / name).is_dir() for name in FOLDERS):
            return candidate
    return folder


def _read(file: Path) -> dict[str, Any]:
    from agentctl.language.project.cache import remembered

    return remembered(file, file.parent / STORE)
