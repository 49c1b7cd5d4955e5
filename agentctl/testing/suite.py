"""Test files, played: what passed, what failed, what is no valid test file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter

import msgspec

from agentctl.language.cases import read_cases
from agentctl.language.problems import Problem
from agentctl.language.yaml.reader import Source
from agentctl.testing.crashes import Crashed, crash_everywhere
from agentctl.testing.expectations import Failure, check
from agentctl.testing.mocks import Broken
from agentctl.testing.prepare import prepare
from agentctl.testing.runner import Played, Ready, play


class Verdict(msgspec.Struct, frozen=True):
    """One case. `seconds`: of real time.  `elapsed`: of virtual time, None when the case could not be played to its end.

    `steps`: (path, status, runs) of the steps that were played.  `crashes`: how many were tried.
    """

    file: str
    line: int
    case: str
    failures: list[Failure]
    seconds: float
    elapsed: float | None = None
    steps: list[tuple[str, str, int]] = []
    crashes: int = 0


class Invalid(msgspec.Struct, frozen=True):
    """A test file with problems, none of whose cases was played."""

    path: Path
    problems: list[Problem]


def run_files(files: Iterable[tuple[Path, str]], *, crash: bool = False) -> Iterator[Verdict | Invalid]:
    """Play the cases of every file, given with the name to show; one answer for each case or invalid file, as it is known.

    `crash`: play each case also with a crash at every place.
    """
    for path, shown in files:
        found = read_cases(path, shown)
        ready = prepare(found, path)
        if found.problems:
            yield Invalid(path, found.problems)
        for one in ready:
            yield judge(found.source, one, crash=crash)


def judge(source: Source, ready: Ready, *, crash: bool = False) -> Verdict:
    """Play one case and compare."""
    begun = perf_counter()
    case, crashes = ready.case, 0
    played: Played | None = None
    try:
        played = play(ready)
        failures = check(source, case, played)
        if crash and not failures:
            crashes, differing = crash_everywhere(ready, played)
            failures = [_failure(source, ready, one) for one in differing]
    except Broken as error:
        failures = [Failure(source.file, *source.at(case.at), "run", str(error))]
    return Verdict(
        file=source.file,
        line=source.at((*case.at, "case"))[0],
        case=case.name,
        failures=failures,
        seconds=perf_counter() - begun,
        elapsed=None if played is None else played.elapsed,
        steps=[] if played is None else [(path, step.status, step.runs) for path, step in played.steps.items()],
        crashes=crashes,
    )


def _failure(source: Source, ready: Ready, crashed: Crashed) -> Failure:
    line, column = source.at((*ready.case.at, "case"))
    return Failure(source.file, line, column, f"crash {crashed.place}", crashed.message)
