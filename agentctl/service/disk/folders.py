"""Finding the files that patterns mean, and reading them, as they are on disk."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agentctl.triggers.file_patterns import FilePattern

_CHUNK = 1 << 20  # bytes
_LEADS_OUT = "it is a link that leads out of the project"

Stamps = dict[str, str]
Complain = Callable[[str, str], None]
"""Called with a path and why it is left out."""


class Unsettled(Exception):
    """The file changed while it was being read."""


class Abandoned(Exception):
    """Nobody wants to know any more."""


def find(root: Path, patterns: Iterable[FilePattern], complain: Complain) -> Stamps:
    """path -> stamp of every file that matches one of the patterns. Takes long in large folders: to be called in a thread."""
    found: Stamps = {}
    for pattern in patterns:
        for path in _below(root, pattern, complain):
            if path not in found and pattern.matches(path) and (stamp := _stamp(root, path, complain)):
                found[path] = stamp
    return found


def _stamp(root: Path, path: str, complain: Complain) -> str | None:
    """What changes when a file is written to or replaced, found without reading it; None for what is no file of the project."""
    full = os.path.join(root, path)
    try:
        status = os.stat(full)
    except OSError as error:
        if not isinstance(error, FileNotFoundError) or os.path.islink(full):
            complain(path, error.strerror or str(error))
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    if _leads_out(root, full):
        complain(path, _LEADS_OUT)
        return None
    if not path.isprintable():
        # It would stand in logs, events and terminals, where such characters do harm, or no JSON could hold it.
        complain(path, "its name has characters that cannot be printed")
        return None
    return f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_size} {status.st_ino}"


def written_at(stamp: str) -> int:
    """Nanoseconds since 1970, for the order of files."""
    return int(stamp.split(" ", 1)[0])


def digest(path: Path, abandoned: Callable[[], bool]) -> str:
    """SHA-256 of a file, in hex. Raises OSError, Unsettled when it was written to meanwhile, Abandoned.

    A file may take minutes: to be called in a thread, which looks at `abandoned` now and then.
    """
    # Not to wait for ever at what has become a pipe since somebody looked.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as stream:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Unsettled
        hashed = hashlib.sha256()
        while chunk := stream.read(_CHUNK):
            hashed.update(chunk)
            if abandoned():
                raise Abandoned
        after = os.fstat(descriptor)
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise Unsettled
    return hashed.hexdigest()


def _below(root: Path, pattern: FilePattern, complain: Complain) -> Iterator[str]:
    """Every file in the folders in which the pattern may match, by its path from the root. Links to folders of the project are
    followed, each folder once."""
    base = os.path.join(root, pattern.base) if pattern.base else os.fspath(root)
    entered: set[tuple[int, int]] = set()
    if not _is_inside(root, base):
        complain(pattern.base, _LEADS_OUT)
        return
    _may_enter(root, base, entered, complain)

    def unreadable(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            complain(os.path.relpath(error.filename, root), error.strerror or str(error))

    for place, folders, files in os.walk(base, onerror=unreadable, followlinks=True):
        inner = "" if place == base else os.path.relpath(place, base) + "/"
        depth = inner.count("/")
        folders[:] = [
            name
            for name in folders
            if (pattern.depth is None or depth < pattern.depth)
            and (pattern.hidden or not name.startswith("."))
            and _may_enter(root, os.path.join(place, name), entered, complain)
        ]
        before = f"{pattern.base}/" if pattern.base else ""
        yield from (f"{before}{inner}{name}" for name in files)


def _may_enter(root: Path, folder: str, entered: set[tuple[int, int]], complain: Complain) -> bool:
    if _leads_out(root, folder):
        complain(os.path.relpath(folder, root), _LEADS_OUT)
        return False
    try:
        status = os.stat(folder)
    except OSError:
        return False  # gone meanwhile
    identity = status.st_dev, status.st_ino
    new = identity not in entered
    entered.add(identity)
    return new


def _leads_out(root: Path, path: str) -> bool:
    """Whether it is a link out of the project; the folders above it are known to be inside."""
    return os.path.islink(path) and not _is_inside(root, path)


def _is_inside(root: Path, path: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
