"""Definitions as runs are pinned to them: the text, and its compiled form so that no YAML is parsed to resume a run."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec

from agentctl import __version__, model
from agentctl.ports import StoredDefinition
from agentctl.store.runs.changes import Register


@cache
def compiled_format() -> str:
    """Name the shape of compiled definitions: two agentctl that share it can read each other's.

    The version alone would let a checkout under development read what it compiled yesterday.
    """
    return format_of(Path(model.__file__).parent)


def format_of(package: Path) -> str:
    """Hash the version and all source that decides what a definition compiles to."""
    shape = hashlib.sha256(__version__.encode())
    rooms = ("expressions", "language", "spec")
    for file in (package / "model.py", *(file for room in rooms for file in sorted((package / room).rglob("*.py")))):
        shape.update(file.relative_to(package).as_posix().encode())
        with suppress(OSError):
            shape.update(file.read_bytes())
    return shape.hexdigest()[:16]


def registration(stored: StoredDefinition) -> Register:
    return Register(
        version=stored.version,
        name=stored.definition.name,
        kind=stored.definition.kind,
        file=stored.file,
        source=stored.source,
        compiled=model.encode(stored.definition),
        format=compiled_format(),
    )


def read(connection: sqlite3.Connection, version: str) -> StoredDefinition | None:
    """The definition of that content hash; None: not kept here."""
    row = connection.execute("SELECT source, file, compiled, format FROM definitions WHERE version = ?", (version,)).fetchone()
    if row is None:
        return None
    source, file, compiled, form = row
    definition = _decoded(compiled) if form == compiled_format() else None
    return StoredDefinition(version, definition or _compiled_again(source, file), source, file)


def _decoded(compiled: bytes) -> model.Definition | None:
    try:
        return model.decode(compiled)
    except msgspec.ValidationError:
        return None


def _compiled_again(source: str, file: str) -> model.Definition:
    """Raises DefinitionInvalid when this agentctl refuses the text."""
    from agentctl.language.load import load_text

    definition: model.Definition = load_text(source, file).definition
    return definition
