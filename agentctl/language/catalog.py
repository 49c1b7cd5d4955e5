"""The definitions of a project by name: what the YAML of each file says, however it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from agentctl.errors import NotFound
from agentctl.expressions.suggestions import did_you_mean
from agentctl.language.project.project import FOLDERS, SUFFIXES, TEST_SUFFIXES, Project

_HEAD = 4096  # bytes in which most files have the line that is looked for first
_NAME = rb"(loop|skill):[ \t]+([a-z0-9][a-z0-9-]{0,62})(?:[ \t]+#.*)?[ \t]*\r?(?:\n|\Z)"
# The first line that is neither empty nor a comment: what it says no YAML parser would read in another way.
_FIRST_LINE = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:(?:[ \t]*(?:#.*)?|---[ \t]*)\r?\n)*" + _NAME)
_ANY_LINE = re.compile(rb"^" + _NAME, re.MULTILINE)


class Catalog:
    """What the YAML files below `loops/` and `skills/` of a project define, as of the first look.

    `secrets`: the names of those that are set, to warn of others; None: nobody asks.
    """

    def __init__(self, project: Project, secrets: Collection[str] | None = None) -> None:
        self.project = project
        self.secrets = secrets
        self._inputs: dict[str, dict[str, Any] | None] = {}

    @cached_property
    def _found(self) -> dict[str, list[tuple[str, Path]]]:
        found: dict[str, list[tuple[str, Path]]] = {}
        for folder in FOLDERS:
            for path in definition_files(self.project.root / folder):
                if head := _head(path):
                    found.setdefault(head[1], []).append((head[0], path))
        return found

    def names(self, kind: str | None = None) -> list[str]:
        """Sorted; of one kind (`loop` or `skill`) or of both."""
        return sorted(name for name, files in self._found.items() if kind is None or files[0][0] == kind)

    def path(self, name: str) -> Path:
        """The file that defines `name`; of several, the first by path. Raises NotFound with the nearest name."""
        if name not in self._found:
            raise NotFound(f"there is no loop or skill '{name}' in {self.project.root}{did_you_mean(name, self._found)}")
        return self._found[name][0][1]

    def kind(self, name: str) -> str | None:
        """`loop` or `skill`; None when nothing has that name."""
        return self._found[name][0][0] if name in self._found else None

    def files(self, name: str) -> list[Path]:
        """Every file that claims the name."""
        return [path for _, path in self._found.get(name, ())]

    def inputs(self, name: str) -> dict[str, Any] | None:
        """What a definition declares as its input: name -> JSON Schema. None when its file cannot be read."""
        if name not in self._inputs:
            from agentctl.language.yaml.reader import read_file

            data = read_file(self.path(name)).data
            declared = data.get("input", {}) if isinstance(data, dict) else None
            self._inputs[name] = declared if isinstance(declared, dict) else None
        return self._inputs[name]

    def shown(self, path: Path) -> str:
        """The path as messages and the store show it: relative to the root, if it is below it."""
        absolute = path.absolute()
        return str(absolute.relative_to(self.project.root)) if absolute.is_relative_to(self.project.root) else str(path)


def definition_files(folder: Path, unreadable: Callable[[OSError], None] | None = None) -> list[Path]:
    """Every YAML file below a folder that is no test file, sorted. Folders that are links are followed, each once; what is hidden
    is left out: editors keep their drafts there, and Kubernetes the files that the visible links lead to.

    `unreadable`: called for a folder that cannot be listed; without it such a folder counts as empty.
    """
    found: list[Path] = []
    entered: set[tuple[int, int]] = set()
    _is_new(os.fspath(folder), entered)
    for place, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and _is_new(os.path.join(place, name), entered)]
        paths = (Path(place, name) for name in files if _is_definition(name))
        found.extend(path for path in paths if os.path.isfile(path))
    return sorted(found)


def _is_definition(name: str) -> bool:
    return name.endswith(SUFFIXES) and not name.endswith(TEST_SUFFIXES) and not name.startswith(".")


def _is_new(folder: str, entered: set[tuple[int, int]]) -> bool:
    """False for a folder that was entered by another way: links may lead in a circle."""
    try:
        status = os.stat(folder)
    except OSError:
        return False
    identity = status.st_dev, status.st_ino
    new = identity not in entered
    entered.add(identity)
    return new


def head_of(data: bytes) -> tuple[str, str] | None:
    """Kind and name of a definition, from the bytes of its file; None when they name none."""
    match = _FIRST_LINE.match(data[:_HEAD])
    return (match[1].decode(), match[2].decode()) if match else _read_head(data)


@lru_cache(256)
def _read_head(data: bytes) -> tuple[str, str] | None:
    """The same by the YAML parser. A file that is not YAML counts by the first line that looks right: a command can then name
    what is wrong with it."""
    from agentctl.language.yaml.reader import read_bytes

    read = read_bytes(data, "").data
    if read is None and (match := _ANY_LINE.search(data)):
        return match[1].decode(), match[2].decode()
    for kind in ("loop", "skill"):
        name = read.get(kind) if isinstance(read, dict) else None
        if isinstance(name, str) and re.fullmatch("[a-z0-9][a-z0-9-]{0,62}", name):
            return kind, name
    return None


def _head(path: Path) -> tuple[str, str] | None:
    """Most files need not be read further than their first line."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_HEAD)
            return head_of(data if _FIRST_LINE.match(data) else data + stream.read())
    except OSError:
        return None
