"""Test files found, and their cases made ready to be played."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from agentctl.core.timestamps import parse_instant
from agentctl.errors import NotFound
from agentctl.language.cases import SUFFIX, Case, CaseFile, read_cases
from agentctl.language.check.cases import check_case, definition_of, place_of
from agentctl.language.problems import Problem
from agentctl.language.project.project import TEST_SUFFIXES
from agentctl.testing.real_actions import RealActions
from agentctl.testing.runner import Ready

_PASSED_OVER = frozenset({"node_modules", "__pycache__", "site-packages"})


def files_at(path: Path) -> list[Path]:
    """The test files that PATH stands for: itself, or all below a folder. Raises NotFound when there are none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NotFound(f"no such file or folder: {path}")
    found = sorted(_below(path))
    if not found:
        raise NotFound(f"no files named *{SUFFIX} below {path}")
    return found


def _below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _PASSED_OVER and not name.startswith(".")]
        yield from (Path(here, name) for name in files if name.endswith(TEST_SUFFIXES))


def check_test(path: Path) -> list[Problem]:
    """Every problem of a test file, as `language.load.check` has those of a definition."""
    found = read_cases(path)
    prepare(found, path)
    return found.problems


def prepare(found: CaseFile, path: Path) -> list[Ready]:
    """The cases of a file. What keeps one from being played is reported to the file's problems, and nothing is returned."""
    known = definition_of(found, path) if not found.source.problems else None
    if known is None:
        return []
    project, definitions, subject = known
    ready = []
    for case in found.cases:
        given = check_case(found, case, subject.definition, definitions)
        _check_start(found, case)
        real = RealActions(project, case, definitions.skill).perform
        ready.append(Ready(case, subject, given, project.vars, definitions.skill, real))
    return [] if found.source.problems else ready


def _check_start(found: CaseFile, case: Case) -> None:
    try:
        parse_instant(case.start or 0.0)
    except ValueError as error:
        found.source.report(place_of(found, case, "start"), "wrong-value", f"'start': {error}")
