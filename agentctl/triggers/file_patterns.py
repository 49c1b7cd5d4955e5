"""Which files a `file` trigger means (docs/language.md, File triggers).

A pattern is relative to the project's root. `*`, `?` and `[...]` match within one part of a path, `**` any number of parts; as in
a shell none of them matches a part that begins with a dot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePosixPath

_WILD = re.compile(r"[*?\[]")


class FilePattern:
    """`base`: the folder that holds every file it may match, "" for the root.  `depth`: how many folders below the base these lie
    at most; None: any number.  `hidden`: whether it names hidden files or folders."""

    def __init__(self, text: str) -> None:
        self._parts = PurePosixPath(text).parts
        if self._parts[-1] == "**":
            self._parts += ("*",)
        folders = self._parts[:-1]
        literal = next((number for number, part in enumerate(folders) if _WILD.search(part)), len(folders))
        self.base = "/".join(folders[:literal])
        self.depth = None if "**" in folders else len(folders) - literal
        self.hidden = any(part.startswith(".") for part in self._parts)

    def matches(self, path: str) -> bool:
        """`path`: relative to the root, its parts joined by `/`."""
        return _match(path.split("/"), self._parts)


@lru_cache(maxsize=1024)
def file_pattern(text: str) -> FilePattern:
    return FilePattern(text)


def _match(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not wanted or not parts:
        return not wanted and not parts
    part, pattern = parts[0], wanted[0]
    if part.startswith(".") and not pattern.startswith("."):
        return pattern == "**" and _match(parts, wanted[1:])
    if pattern == "**":
        return _match(parts, wanted[1:]) or _match(parts[1:], wanted)
    return fnmatchcase(part, pattern) and _match(parts[1:], wanted[1:])
