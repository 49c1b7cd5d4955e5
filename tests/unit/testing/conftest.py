"""A project with a test file, played in this process."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from agentctl.testing.suite import Invalid, Verdict, run_files


@pytest.fixture
def cases(project) -> Callable[..., list[Verdict | Invalid]]:
    """`cases(definition, test file, skill=...)`: what became of each case. The definition is called `subject`."""

    def run(definition: str, test: str, *, crash: bool = False, **skills: str) -> list[Verdict | Invalid]:
        project.write("loops/subject.yaml", f"loop: subject\n{textwrap.dedent(definition)}")
        for name, text in skills.items():
            project.write(f"skills/{name}.yaml", f"skill: {name}\n{textwrap.dedent(text)}")
        path: Path = project.write("tests/subject.test.yaml", f"test: subject\n{textwrap.dedent(test)}")
        return list(run_files([(path, "subject.test.yaml")], crash=crash))

    return run


@pytest.fixture
def passes(cases) -> Callable[..., list[Verdict]]:
    """All cases have to pass; they are played with every crash as well."""

    def run(definition: str, test: str, **skills: str) -> list[Verdict]:
        found = cases(definition, test, crash=True, **skills)
        assert all(isinstance(one, Verdict) for one in found), found
        assert [(one.case, one.failures) for one in found if one.failures] == []
        return found

    return run


@pytest.fixture
def failure(cases) -> Callable[..., tuple[str, str]]:
    """What the only failure of the only case looks at, and its message."""

    def run(definition: str, test: str, **skills: str) -> tuple[str, str]:
        [verdict] = cases(definition, test, **skills)
        [found] = verdict.failures
        return found.what, found.message

    return run


@pytest.fixture
def problems(cases) -> Callable[..., list[str]]:
    """The problems of an invalid file, as `line:column code`, and the messages."""

    def run(definition: str, test: str, **skills: str) -> list[str]:
        [found] = cases(definition, test, **skills)
        assert isinstance(found, Invalid), found
        return [f"{one.line}:{one.column} {one.code}: {one.message}" for one in found.problems]

    return run
