"""A file -> a definition, or everything that is wrong with it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agentctl.errors import DefinitionInvalid, NotFound
from agentctl.language.problems import Problem, in_order
from agentctl.language.source import Source, read_file
from agentctl.model import Definition

if TYPE_CHECKING:
    from agentctl.language.catalog import Catalog
    from agentctl.language.walk import Walk


class Loaded(msgspec.Struct, frozen=True):
    """`version`: SHA-256 of the file's bytes, in hex.  `text`: the file's.  `file`: its name as shown, relative to the project's
    root where there is one.  `problems`: warnings; a definition with errors is never returned."""

    definition: Definition
    version: str
    text: str
    file: str
    problems: list[Problem] = []


def load(path: Path, catalog: Catalog | None = None) -> Loaded:
    """Read and check a definition. Raises DefinitionInvalid with every problem of the file, NotFound when there is no such file.

    With a catalog the skills it calls are checked as well: that they exist and take what they are given.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    source, walk = _checked(path, catalog)
    problems = in_order(source.problems)
    if walk is None or any(problem.severity == "error" for problem in problems):
        raise DefinitionInvalid(problems)
    from agentctl.language.build import build

    version = hashlib.sha256(path.read_bytes()).hexdigest()
    return Loaded(build(source, walk), version, source.text, source.file, problems)


def check(path: Path, catalog: Catalog | None = None) -> list[Problem]:
    """Every problem of a file, warnings too, in the order of the lines. Never raises for what is in the file."""
    return in_order(_checked(path, catalog)[0].problems)


def _checked(path: Path, catalog: Catalog | None) -> tuple[Source, Walk | None]:
    """The walk is None when the file cannot be read as a mapping at all."""
    source = read_file(path, catalog.shown(path) if catalog else None)
    if source.root is None:
        return source, None
    from agentctl.language.checks import check_definition

    return source, check_definition(source, catalog)
