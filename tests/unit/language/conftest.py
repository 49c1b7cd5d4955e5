"""What the tests of the language share: a text becomes a file, a file becomes problems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from agentctl.language.load import Loaded, check, load
from agentctl.language.problems import CODES, Problem


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "loop.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


@pytest.fixture
def problems(write: Callable[..., Path]) -> Callable[[str], list[Problem]]:
    """Every problem of a text; each has a code of the table."""

    def problems(text: str) -> list[Problem]:
        found = check(write(text))
        assert {problem.code for problem in found} <= set(CODES)
        return found

    return problems


@pytest.fixture
def only(problems: Callable[[str], list[Problem]]) -> Callable[[str], tuple[int, int, str, str]]:
    """The one problem of a text: line, column, code, message."""

    def only(text: str) -> tuple[int, int, str, str]:
        found = problems(text)
        assert len(found) == 1, [str(problem) for problem in found]
        return found[0].line, found[0].column, found[0].code, found[0].message

    return only


@pytest.fixture
def steps(only: Callable[[str], tuple[int, int, str, str]]) -> Callable[[str], tuple[int, int, str, str]]:
    """The same of steps alone, each written from column 1; lines and columns are of the text given here."""

    def steps(text: str) -> tuple[int, int, str, str]:
        line, column, code, message = only("loop: x\nsteps:\n" + dedent(text).lstrip("\n"))
        return line - 2, column, code, message

    return steps


@pytest.fixture
def loaded(write: Callable[..., Path]) -> Callable[[str], Loaded]:
    return lambda text: load(write(text))
