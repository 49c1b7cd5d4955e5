"""A file -> a definition, or everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agentctl.errors import DefinitionInvalid, NotFound
from agentctl.language.problems import Problem, in_order
from agentctl.language.yaml.reader import Source, read_bytes, read_file
from agentctl.model import StoredDefinition

if TYPE_CHECKING:
    from agentctl.language.catalog import Catalog
    from agentctl.language.check.walk import Walk


class Loaded(StoredDefinition, frozen=True):
    """A definition that was read and checked. `problems`: warnings; one with errors is never returned."""

    problems: tuple[Problem, ...] = ()


def load(path: Path, catalog: Catalog | None = None) -> Loaded:
    """Read and check a definition. Raises DefinitionInvalid with every problem of the file, NotFound when there is no such file.

    With a catalog the skills it calls are checked as well: that they exist and take what they are given.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}")
    return _build(read_file(path, catalog.shown(path) if catalog else None), catalog)


def load_to_run(path: Path, catalog: Catalog | None = None) -> Loaded:
    """As `load`, for a definition that is to be run: what this version cannot perform is an error before anything runs."""
    found = load(path, catalog)
    refused = [problem for problem in found.problems if problem.code == "not-supported"]
    if refused:
        raise DefinitionInvalid([msgspec.structs.replace(problem, severity="error") for problem in refused])
    return found


def load_text(text: str, file: str = "<text>", catalog: Catalog | None = None) -> Loaded:
    """As `load`, of a text that is not in a file: one kept in a store, or one that an agent hands in."""
    return _build(read_bytes(text.encode("utf-8", errors="replace"), file), catalog)


def check(path: Path, catalog: Catalog | None = None) -> list[Problem]:
    """Every problem of a file, warnings too, in the order of the lines. Never raises for what is in the file."""
    source = read_file(path, catalog.shown(path) if catalog else None)
    walk = _check(source, catalog)
    if walk is not None and not any(problem.severity == "error" for problem in source.problems):
        from agentctl.language.build import build
        from agentctl.language.check.permissions import permission_problems

        source.problems += permission_problems(source, build(source, walk))
    return in_order(source.problems)


def _build(source: Source, catalog: Catalog | None) -> Loaded:
    walk = _check(source, catalog)
    problems = in_order(source.problems)
    if walk is None or any(problem.severity == "error" for problem in problems):
        raise DefinitionInvalid(problems)
    from agentctl.language.build import build
    from agentctl.language.check.permissions import permission_problems

    definition = build(source, walk)
    forbidden = permission_problems(source, definition)
    if forbidden:
        raise DefinitionInvalid(in_order([*problems, *forbidden]))
    return Loaded(source.digest, definition, source.text, source.file, tuple(problems))


def _check(source: Source, catalog: Catalog | None) -> Walk | None:
    """None when the file cannot be read as a mapping at all."""
    if source.root is None:
        return None
    from agentctl.language.check.definition import check_definition

    return check_definition(source, catalog)
