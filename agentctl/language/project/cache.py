"""Keep what a project file holds, so that a command need not import a YAML parser (20 ms) to read it again."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from agentctl import __version__

NAME = "project.json"


class _Remembered(msgspec.Struct, frozen=True):
    """`digest`: SHA-256 of the file's bytes, in hex.  `version`: ours, since another may check more."""

    digest: str
    version: str
    data: dict[str, Any]


_decoder = msgspec.json.Decoder(_Remembered)


def remembered(file: Path, store: Path) -> dict[str, Any]:
    """The data of a checked project file. Raises DefinitionInvalid.

    A file without mistakes is kept in the folder of the project's own `store`, if there is one: looking makes no folder.
    """
    kept = store.with_name(NAME)
    with suppress(OSError, msgspec.DecodeError):
        found = _decoder.decode(kept.read_bytes())
        if found.version == __version__ and found.digest == sha256(file.read_bytes()).hexdigest():
            return found.data
    from agentctl.language.project.file import read_project

    data, digest = read_project(file)
    if kept.parent.is_dir():
        _keep(kept, _Remembered(digest, __version__, data))
    return data


def _keep(path: Path, read: _Remembered) -> None:
    """Under its name only when whole. Where it cannot be written, or would not be read as it was, it is parsed each time."""
    aside = path.with_name(f".{NAME}.{os.urandom(4).hex()}")
    with suppress(OSError, msgspec.MsgspecError, ValueError):
        text = msgspec.json.encode(read)
        if _decoder.decode(text) != read:
            return
        try:
            # EXCL: whoever owns the folder cannot have put a link there.
            descriptor = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
            aside.replace(path)
        except OSError:
            aside.unlink()
