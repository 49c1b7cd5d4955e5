"""The definition that a run starts with, and the input it is given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentctl.cli import context, output
from agentctl.errors import DefinitionInvalid, InputInvalid

if TYPE_CHECKING:
    from agentctl.language.project.project import Project
    from agentctl.ports import StoredDefinition


class InvalidFile(DefinitionInvalid):
    """`path`: where the file is, from here; its problems call it by its name in the project."""

    def __init__(self, problems: list[Any], path: Path) -> None:
        super().__init__(problems)
        self.path = path


def loaded(project: Project, path: Path) -> StoredDefinition:
    """A definition, checked; its warnings go to stderr. Raises DefinitionInvalid.

    The store is only looked at, for the compiled form: a file with mistakes leaves no store behind.
    """
    from agentctl.language.catalog import Catalog
    from agentctl.wiring import load_definition

    try:
        with context.glance(project) as store:
            stored, warnings = load_definition(store, Catalog(project), path)
    except DefinitionInvalid as error:
        raise InvalidFile(error.problems, path) from None
    if warnings:
        from agentctl.cli.problems import problem_blocks

        output.note(problem_blocks(warnings, {warning.file: path for warning in warnings}))
    return stored


def document(source: str | None) -> dict[str, Any] | None:
    """The mapping of `--input-file`: JSON; `-` is stdin. Raises InputInvalid."""
    if source is None:
        return None
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise InputInvalid(f"{source} cannot be read: {error.strerror}") from None
    import msgspec

    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputInvalid(f"{source} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputInvalid(f"{source} must hold a JSON object of inputs, name to value")
    return value
